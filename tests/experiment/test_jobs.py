"""Several jobs on one experiment in one folder: each replicate is trained once, and ends as in a single job."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from tf_lottery.runtime import locks, storage

ROOT = pathlib.Path(__file__).parents[2]
# XLA would take longer to compile than all that is trained.
EXPERIMENT = [
    sys.executable, str(ROOT / 'main.py'), '--workdir=run', '--jit=off', '--config.training.length=200it',
    '--config.training.evaluate_every=20it', '--config.training.checkpoint_every=20it', '--config.training.block=20',
    '--config.pruning.levels=1', '--config.replicates=2', "--config.branches=('ticket_reordered',)",
    '--config.branch_levels=(1,)', '--config.connectivity.points=3', '--config.connectivity.examples=100',
    "--config.export.forms=('ticket',)", '--config.export.latency_seconds=0.0']
RUNS = {f'replicate_{replicate}/level_{run}' for replicate in range(2)
        for run in ('00/ticket', '01/ticket', '01/ticket_reordered_0')}


def start(folder, *flags, **environment):
    return subprocess.Popen([*EXPERIMENT, *flags], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, **environment}, text=True)


def finish(process, code=0):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    return output


def results(folder):
    """Every file that the trainings wrote, but for how long they took and for who holds them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob('replicate_*/**/*'))
            if path.is_file() and path.name not in ('timing.json', '.lock')}


def trained(folder):
    """The runs of a folder that are done."""
    return {str(path.parent.relative_to(folder)) for path in folder.glob('replicate_*/**/result.json')}


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


# What each worker of a cluster says first.
WAITS = r'Worker \d of 2 waits for all of .*\n'


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """The folder of a job that was alone."""
    folder = tmp_path_factory.mktemp('alone')
    output = finish(start(folder))
    assert 'Report' in output and 'Ticket' in output
    assert trained(folder / 'run') == RUNS
    return folder / 'run'


def test_a_killed_job_leaves_its_replicate_to_two_that_share_the_rest(tmp_path, alone):
    run = tmp_path / 'run'
    job = start(tmp_path, '--replicate=1')
    wait_for(lambda: list(run.glob('replicate_1/**/checkpoint_*.npz')), job)
    assert locks.owner(str(run / 'replicate_1')).startswith(f'process {job.pid} on ')
    job.kill()
    job.communicate()
    assert locks.owner(str(run / 'replicate_1')) is None
    assert not list(run.glob('replicate_0/*'))

    jobs = [start(tmp_path) for _ in range(2)]
    outputs = [finish(job) for job in jobs]
    assert trained(run) == RUNS
    assert results(run) == results(alone)
    # The last one to finish reports; both do if they end in the same instant.
    assert any('Report' in output and 'Ticket' in output for output in outputs)
    assert all('Report' in output or 'Not finished yet: replicate ' in output for output in outputs)
    assert (run / 'report' / 'runs.csv').read_text() == (alone / 'report' / 'runs.csv').read_text()


@pytest.mark.slow
def test_a_stopped_job_frees_its_replicate_and_the_same_command_finishes_it(tmp_path, alone):
    run = tmp_path / 'run'
    job = start(tmp_path, '--replicate=1')
    wait_for(lambda: list(run.glob('replicate_1/**/checkpoint_*.npz')), job)
    os.kill(job.pid, signal.SIGTERM)
    finish(job, code=143)
    assert locks.owner(str(run / 'replicate_1')) is None
    output = finish(start(tmp_path, '--replicate=1'))
    assert 'Not finished yet: replicate 0 (nobody trains it).' in output
    assert not (run / 'report').exists()
    assert results(run) == {name: content for name, content in results(alone).items() if 'replicate_1' in name}


def test_workers_of_a_cluster_train_what_the_first_one_holds(tmp_path, alone):
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(('127.0.0.1', 0))
        hosts = [f'127.0.0.1:{each.getsockname()[1]}' for each in (one, two)]

    def both(*flags):
        return [start(tmp_path, '--strategy=multi_worker', '--config.training.length=40it', *flags,
                      TF_CONFIG=json.dumps({'cluster': {'worker': hosts}, 'task': {'type': 'worker', 'index': index}}))
                for index in range(2)]

    run = tmp_path / 'run'
    stored = storage.read_json(alone / 'config.json')
    stored['config']['training']['length'] = '40it'
    storage.write_json(run / 'config.json', stored)
    with locks.lock(str(run / 'replicate_0')):
        outputs = [finish(worker) for worker in both()]
        assert re.search(r'Not finished yet: replicate 0 \(process', outputs[0])
        assert re.fullmatch(WAITS, outputs[1])
        assert trained(run) == {name for name in RUNS if name.startswith('replicate_1')}
        # A replicate that is held is refused by the first worker, and the others leave.
        first, second = both('--replicate=0')
        assert re.fullmatch(WAITS, finish(second))
        assert re.fullmatch(WAITS, finish(first, code=2))
