"""What survives a kill: the same command ends in the same files."""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
EXPERIMENT = [
    sys.executable, str(ROOT / 'main.py'), '--workdir=run', '--config.training.length=1500it',
    '--config.training.evaluate_every=50it', '--config.training.checkpoint_every=100it', '--config.training.block=30',
    '--config.pruning.levels=2', '--config.pruning.rewind_to=70it', '--config.replicates=1',
    "--config.branches=('ticket', 'random_reinit', 'fine_tuning')", '--config.branch_levels=(2,)']


def results(folder):
    """Every file that the trainings of an experiment wrote, but for how long they took."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob('replicate_*/**/*'))
            if path.is_file() and path.name != 'timing.json'}


def start(folder):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(EXPERIMENT, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp('uninterrupted')
    process = start(folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return results(folder / 'run')


def written(folder):
    """The newest time among the files of the process."""
    newest = 0
    for path in folder.glob('run/replicate_*/**/*.npz'):
        # A run that ends takes its checkpoints away.
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, path.stat().st_mtime_ns)
    return newest


def wait_for_a_save(process, folder):
    before = written(folder)
    while written(folder) == before and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.slow
def test_five_kills_at_random_moments_change_no_bit(tmp_path, uninterrupted):
    moments, reached = random.Random(0), set()
    for _ in range(5):
        process = start(tmp_path)
        # About ninety saves make the whole experiment: this spreads the kills over its levels and branches.
        for _ in range(moments.randint(8, 16)):
            wait_for_a_save(process, tmp_path)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.communicate()
        reached.update(path.parent for path in tmp_path.glob('run/replicate_0/level_*/*/checkpoint_*'))
    assert len(reached) > 2
    process = start(tmp_path)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert results(tmp_path / 'run') == uninterrupted


def test_a_signal_saves_and_leaves_with_a_sentence(tmp_path, uninterrupted):
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(tmp_path)
        wait_for_a_save(process, tmp_path)
        os.kill(process.pid, number)
        _, errors = process.communicate()
        assert process.returncode == 128 + number
        assert f'Stopped by {number.name}; everything is saved.' in errors
        assert 'Traceback' not in errors
        assert list(tmp_path.glob('run/replicate_0/level_*/*/checkpoint_*.npz'))
    process = start(tmp_path)
    process.communicate()
    assert results(tmp_path / 'run') == uninterrupted
