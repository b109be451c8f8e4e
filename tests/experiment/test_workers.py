"""Two processes of main.py on this machine: what one of them suffers, both end from, and the same command goes on."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from tf_lottery.runtime import locks
from tf_lottery.training.metrics import from_csv

ROOT = pathlib.Path(__file__).parents[2]
EXPERIMENT = [
    sys.executable, str(ROOT / 'main.py'), '--workdir=run', '--config.training.length=150it',
    '--config.training.evaluate_every=50it', '--config.training.checkpoint_every=10it', '--config.training.block=10',
    '--config.pruning.levels=1', '--config.replicates=1', "--config.branches=('ticket',)", '--config.branch_levels=()',
    "--config.export.forms=('ticket',)", '--config.export.latency_seconds=0.0']


def start(folder, *flags_of_each, jobs=('worker', 'worker'), command=EXPERIMENT):
    """Starts two workers, each with flags of its own; `jobs` are their jobs in the cluster."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(('127.0.0.1', 0))
        hosts = [f'127.0.0.1:{each.getsockname()[1]}' for each in (first, second)]
    cluster = {job: [host for host, other in zip(hosts, jobs, strict=True) if other == job] for job in jobs}
    return [subprocess.Popen(
        [*command, *flags], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'TF_CONFIG': json.dumps(
            {'cluster': cluster, 'task': {'type': job, 'index': cluster[job].index(host)}})})
        for job, host, flags in zip(jobs, hosts, flags_of_each or ((), ()), strict=True)]


def end(workers):
    """What each worker ends with: (exit code, what it complained of)."""
    ends = []
    for worker in workers:
        _, errors = worker.communicate(timeout=300)
        assert 'Traceback' not in errors, errors
        ends.append((worker.returncode, ''.join(
            line for line in errors.splitlines(True) if line.startswith('tf_lottery: '))))
    return ends


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob('run/replicate_0/level_*/ticket/checkpoint_*.npz')}


def start_and_wait_for_a_save(folder, command=EXPERIMENT):
    before, workers = written(folder), start(folder, command=command)
    while written(folder) == before and all(worker.poll() is None for worker in workers):
        time.sleep(0.01)
    return workers


def results(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob('run/replicate_*/**/*'))
            if path.is_file() and path.name != 'timing.json'}


@pytest.mark.slow
def test_a_signal_and_kills_change_no_bit(tmp_path):
    uninterrupted = start(tmp_path / 'uninterrupted')
    folder = tmp_path / 'interrupted'
    workers = start_and_wait_for_a_save(folder)
    # The worker that does not write is told; the other one saves.
    workers[1].send_signal(signal.SIGTERM)
    first, second = end(workers)
    assert first == (143, 'tf_lottery: Another worker was stopped; everything is saved. The same command on every '
                     'worker goes on from here.\n')
    assert second == (143, 'tf_lottery: Stopped by SIGTERM; everything is saved. The same command goes on from here.\n')

    for victim in (1, 0):
        workers = start_and_wait_for_a_save(folder)
        workers[victim].kill()
        other, = end([workers[1 - victim]])
        workers[victim].communicate()
        assert other[0] == 1
        assert f'worker {victim} (127.0.0.1:' in other[1] and 'is gone; its own output says why' in other[1]
    assert not (folder / 'run' / 'replicate_0' / 'level_01' / 'ticket' / 'result.json').exists()

    assert end(start(folder)) == end(uninterrupted) == [(0, ''), (0, '')]
    assert results(folder) == results(tmp_path / 'uninterrupted')


def test_a_chief_and_a_worker_stop_together_while_lines_are_measured(tmp_path):
    # More places on a line than anybody waits for.
    flags = ('--jit=off', '--config.training.length=20it', '--config.training.evaluate_every=20it',
             "--config.branches=('ticket_reordered',)", '--config.branch_levels=(1,)',
             '--config.connectivity.examples=100', '--config.connectivity.points=10000')
    worker, chief = start(tmp_path, flags, flags, jobs=('worker', 'chief'))
    last = tmp_path / 'run' / 'replicate_0' / 'level_01' / 'ticket_reordered_0' / 'result.json'
    while not last.exists() and worker.poll() is chief.poll() is None:
        time.sleep(0.01)
    # The chief writes, though it was started after the first worker.
    assert locks.owner(str(tmp_path / 'run' / 'replicate_0')).startswith(f'process {chief.pid} on ')
    worker.send_signal(signal.SIGTERM)
    assert end([worker, chief]) == [
        (143, 'tf_lottery: Stopped by SIGTERM; everything is saved. The same command goes on from here.\n'),
        (143, 'tf_lottery: Another worker was stopped; everything is saved. The same command on every worker goes on '
              'from here.\n')]
    assert not list(tmp_path.glob('run/**/connectivity.json'))


@pytest.mark.parametrize(('flags', 'sentence'), [
    ('--config.training.learning_rate=0.1', 'tf_lottery: the config differs between worker 1 and worker 0: start the '),
    ('--workdir=elsewhere', 'differs between worker 1 and worker 0: start the same command on every worker')])
def test_workers_with_other_flags_stop(tmp_path, flags, sentence):
    for code, complaint in end(start(tmp_path, (), (flags,))):
        assert code == 1
        assert sentence in complaint
    assert not list(tmp_path.glob('**/*.npz'))


# Configs of small tasks of text, whose batches divide among two replicas.
TEXTS = {
    'language_model': """
from tests.fake_texts import settings

def get_config():
    config = settings(branches=('ticket', 'random_global'))
    config.export.forms = ('ticket',)
    return config
""",
    'translation': """
from tests.fake_pairs import settings

def get_config():
    config = settings(branches=('ticket',), training__batch_size=32, training__average=2, training__learning_rate=0.05)
    config.export.forms = ('ticket',)
    return config
"""}


@pytest.fixture(params=TEXTS)
def text(request, texts, tmp_path):
    """The command that runs a task of text, but for its strategy."""
    (tmp_path / 'small.py').write_text(f'import sys\nsys.path[:0] = [{str(ROOT)!r}]\n{TEXTS[request.param]}')
    return [sys.executable, str(ROOT / 'main.py'), f'--config={tmp_path}/small.py', f'--data_dir={texts}',
            '--workdir=run']


def measured(folder):
    """The rows of each run of a folder, by its place there."""
    return {str(path.relative_to(folder)): from_csv(path.read_text())
            for path in sorted(folder.glob('run/replicate_0/level_*/*/metrics.csv'))}


@pytest.mark.slow
def test_two_replicas_and_two_workers_train_on_text_what_one_device_trains(text, tmp_path):
    one, mirrored, workers, killed = (tmp_path / name for name in ('one', 'mirrored', 'workers', 'killed'))
    ends, processes = start(workers, command=text), []
    for folder, *flags in ((one, '--strategy=one_device'), (mirrored, '--strategy=mirrored', '--cpu_devices=2')):
        folder.mkdir()
        processes.append(subprocess.Popen([*text, *flags], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                          text=True))
    assert [code for code, _ in end(processes)] == [0, 0]
    assert end(ends) == [(0, ''), (0, '')]
    expected = measured(one)
    assert len(expected) > 1
    for folder in (mirrored, workers):
        found = measured(folder)
        assert list(found) == list(expected)
        for name, rows in expected.items():
            for row, other in zip(rows, found[name], strict=True):
                assert other == pytest.approx(row, rel=1e-4)

    # A worker is lost, and the same command on both goes on from what the first one has saved.
    first, second = start_and_wait_for_a_save(killed, text)
    second.kill()
    second.communicate()
    (code, complaint), = end([first])
    assert code == 1 and 'is gone; its own output says why' in complaint
    assert not measured(killed)
    assert end(start(killed, command=text)) == [(0, ''), (0, '')]
    assert results(killed) == results(workers)
