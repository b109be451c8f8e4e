"""The tasks in examples/, run from a folder outside of the checkout with the installed package, and killed."""

import pathlib
import subprocess
import time

import pytest

from tests.test_install import installed, start, wheel  # noqa: F401

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = """
import tf_lottery


def get_config():
    config = tf_lottery.config.defaults()
    config.task = '{file}:task'
    config.update_from_flattened_dict({{
        'training.optimizer': 'own', 'training.length': '{length}', 'training.batch_size': 32,
        'training.evaluate_every': '10it', 'training.checkpoint_every': '10it', 'training.block': 10,
        'pruning.levels': 3, 'pruning.fraction': 0.4, 'pruning.rewind_to': '5it', 'replicates': 1,
        'branches': ('ticket', 'random_reinit', 'random_mask'), 'export.forms': ('saved_model', 'tflite'),
        'export.latency_seconds': 0.0}})
    return config
"""


def results(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.glob('replicate_*/**/*'))
            if path.is_file() and path.name != 'timing.json'}


@pytest.mark.parametrize(('name', 'length', 'measure'), [
    ('diabetes', '40it', ('mean absolute error', 'points of progression')),
    pytest.param('two_questions', '40it', ('digit accuracy', '%'), marks=pytest.mark.slow),
    pytest.param('which_data_set', '20it', ('accuracy', '%'), marks=pytest.mark.slow)])
def test_a_kill_changes_no_bit_and_the_ticket_is_exported(installed, tmp_path, name, length, measure):  # noqa: F811
    (tmp_path / 'short.py').write_text(CONFIG.format(file=ROOT / 'examples' / f'{name}.py', length=length))
    command = [installed('tf_lottery'), '--config=short.py']
    whole = start(*command, '--workdir=whole', cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    with subprocess.Popen([*command, '--workdir=killed'], cwd=tmp_path, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list((tmp_path / 'killed').glob('replicate_0/level_02/*/checkpoint_*')):
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / 'killed' / 'report').exists()
    again = start(*command, '--workdir=killed', cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    expected = results(tmp_path / 'whole')
    assert len([path for path in expected if path.name == 'result.json']) == 1 + 3 * 3
    assert results(tmp_path / 'killed') == expected
    page = (tmp_path / 'killed' / 'report' / 'index.html').read_text()
    assert all(word in page for word in measure)
    (ticket,) = (tmp_path / 'killed' / 'export').iterdir()
    # Nothing of an export stays that is not what was trained.
    assert (ticket / 'ticket.json').exists() and list(ticket.glob('**/saved_model.pb'))
