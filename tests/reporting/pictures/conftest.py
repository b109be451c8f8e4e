"""What the tests of several pictures draw."""

import pytest
from fake_runs import frames, save_experiment, save_run


@pytest.fixture
def compared(tmp_path):
    """Dense 90 % at step 1000; tickets of levels 1 to 20; a control at levels 2 and 3."""
    save_experiment(str(tmp_path), levels=20, branches=('ticket', 'random_mask'))
    for replicate, shift in enumerate((0.0, 0.02)):
        save_run(str(tmp_path), replicate=replicate, step=1000, accuracy=0.9 + shift)
        for level in range(1, 21):
            save_run(str(tmp_path), level=level, replicate=replicate, step=1000 - level, accuracy=0.92 + shift)
        for level in (2, 3):
            save_run(str(tmp_path), 'random_mask', level, replicate, step=1500, accuracy=0.88 + shift)
    return frames(tmp_path)
