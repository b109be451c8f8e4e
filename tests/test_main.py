"""The command line: what a user sees of a mistake, and that it does not wait for TensorFlow."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run(*arguments, cwd=None, env=None):
    """Runs main.py; a TensorFlow that cannot be imported shows that it was not needed."""
    return subprocess.run([sys.executable, str(ROOT / 'main.py'), *arguments], cwd=cwd or ROOT, capture_output=True,
                          text=True, env={**os.environ, **(env or {})}, timeout=300)


@pytest.fixture
def without_tensorflow(tmp_path):
    (tmp_path / 'no' / 'tensorflow').mkdir(parents=True)
    (tmp_path / 'no' / 'tensorflow' / '__init__.py').write_text('raise SystemExit("TensorFlow was imported")')
    return {'PYTHONPATH': str(tmp_path / 'no')}


MISTAKES = {
    '--config.pruning.fractoin=0.1': 'Did you mean "fraction" instead of "fractoin"?',
    '--config.pruning.fraction=1.2': 'pruning.fraction is 1.2: give the share of weights pruned per level',
    '--config.pruning.fraction=0.0': 'pruning.fraction is 0.0',
    '--config.pruning.output_fraction=-0.5': 'pruning.output_fraction is -0.5',
    '--config.pruning.rewind_to=1000it': "pruning.rewind_to is '1000it', step 1000: it must lie before the end",
    '--config=configs/cifar10_conv.py:conv3': 'tf_lottery: configs/cifar10_conv.py has no arm',
    '--config.pruning.rewind_to=4epo': "'4epo' is not a length of training: write steps as '500it' or epochs as '4ep'",
    '--config.pruning.levels=60': 'level 48 would leave no weight in fc1/kernel (19200 weights, 0.2 pruned per level)',
    '--config.pruning.scope=globally': "pruning.scope is 'globally': choose one of layerwise, global",
    "--config.branches=('tikcet',)": "Did you mean 'ticket'?",
    '--config.branch_levels=(0, 3)': 'branch_levels is (0, 3): levels of controls start at 1',
    '--config.model.name=lenet': "unknown model 'lenet': choose one of lenet_300_100",
    '--config.data.name=minst': "Did you mean 'mnist'?",
    '--config.data.validation=5000': 'data.validation is 5000',
    '--config.training.optimizer=adamw': "training.optimizer is 'adamw': choose one of adam, sgd, momentum",
    '--config.training.learning_rate=-1.0': 'training.learning_rate is -1.0',
    '--config.training.length=0it': "training.length is '0it'",
    '--config.training.precision=float8': "training.precision is 'float8'",
    '--config.replicates=0': 'replicates is 0',
    '--config.pruning.fraction=a': 'could not convert',
    '--config=configs/nothing.py': 'configs/nothing.py',
    "--config.export.forms=('tflight',)": "export.forms is 'tflight': choose one of saved_model, tflite",
    '--config.export.forms=()': 'export.forms is empty: choose some of saved_model, tflite',
    '--config.export.within_points=-1.0': 'export.within_points is -1.0: give a number of 0 or more',
    '--config.export.latency_seconds=-1.0': 'export.latency_seconds is -1.0: give a number of 0 or more',
    '--strategy=mirorred': "unknown strategy 'mirorred': choose one of auto, one_device, mirrored, multi_worker",
    '--strategy=multi_worker': 'TF_CONFIG',
    '--strategy=tpu': '--strategy=tpu and --tpu go together',
    '--cluster=slurm': '--cluster=slurm needs a Slurm step',
    '--cluster=kubernetes': '--cluster=kubernetes needs the label selector of the pods and their number',
    '--cluster=gce': '--cluster=gce needs a group of instances and their number',
    '--mode=walk': 'should be one of',
    '--nonsense=1': 'nonsense',
    'stray': "'stray' is not a flag",
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_is_one_sentence_before_tensorflow(mistake, without_tensorflow, tmp_path):
    for mode in ([], ['--mode=plan']) if mistake == '--config.pruning.fraction=1.2' else ([],):
        result = run(f'--workdir={tmp_path}/run', *mode, mistake, env=without_tensorflow)
        assert result.returncode in (1, 2)
        assert 'TensorFlow was imported' not in result.stderr
        assert MISTAKES[mistake] in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert not (tmp_path / 'run').exists()


def test_help_and_plan_do_not_wait_for_tensorflow(without_tensorflow):
    helped = run('--help', env=without_tensorflow)
    assert '--workdir' in helped.stdout
    planned = run('--mode=plan', '--config=configs/mnist_lenet.py', '--workdir=runs/none', env=without_tensorflow)
    assert planned.returncode == 0, planned.stderr
    # 5 replicates of the dense network and 20 levels; 6 levels of controls, 3 reinitialisations each.
    assert re.search(r'\nWinning ticket +0-20 +105 +0 +105\n', planned.stdout)
    assert re.search(r'\nRandom reinitialisation +3, 7, 9, 12, 15, 18 +90 +0 +90\n', planned.stdout)
    assert '11,250,000 steps' in planned.stdout
    assert '100.0 80.0 64.1 51.3 41.1' in planned.stdout


def test_a_folder_that_is_not_writable_is_named(tmp_path, without_tensorflow):
    (tmp_path / 'file').write_text('')
    result = run(f'--workdir={tmp_path}/file/run', env=without_tensorflow)
    assert result.returncode == 1
    assert f'{tmp_path}/file/run' in result.stderr
    assert 'Traceback' not in result.stderr


def test_a_folder_of_something_else_is_refused(tmp_path, without_tensorflow):
    (tmp_path / 'letter.txt').write_text('dear')
    for mode in ('run', 'plan'):
        result = run(f'--workdir={tmp_path}', f'--mode={mode}', env=without_tensorflow)
        assert result.returncode == 2
        assert 'holds files that are not of an experiment' in result.stderr
    result = run(f'--workdir={tmp_path}', '--mode=report', env=without_tensorflow)
    assert result.returncode == 2
    assert 'holds no experiment' in result.stderr


def test_a_folder_of_another_experiment_is_refused(tmp_path, without_tensorflow):
    from tf_lottery.experiment import config, runs

    settings = config.defaults()
    settings.data.name = 'digits'
    settings.pruning.levels = 1
    runs.claim(str(tmp_path / 'run'), config.check(settings), 'python main.py')
    result = run(f'--workdir={tmp_path}/run', env=without_tensorflow)
    assert result.returncode == 2
    assert 'holds another experiment: its name is' in result.stderr


def test_a_job_that_finds_nothing_free_leaves_before_tensorflow(tmp_path, without_tensorflow):
    from configs import digits_lenet
    from tf_lottery.experiment import config, runs
    from tf_lottery.runtime import locks

    workdir = str(tmp_path / 'run')
    runs.claim(workdir, config.check(digits_lenet.get_config()), 'python main.py')
    arguments = [f'--workdir={workdir}', '--config.replicates=1']
    with locks.lock(f'{workdir}/replicate_0'):
        any_free = run(*arguments, env=without_tensorflow)
        own = run(*arguments, '--replicate=0', env=without_tensorflow)
        planned = run(*arguments, '--mode=plan', '--replicate=0', env=without_tensorflow)
    assert any_free.returncode == 0, any_free.stderr
    assert f'Not finished yet: replicate 0 (process {os.getpid()} on ' in any_free.stdout
    assert own.returncode == 2
    assert f'replicate 0 of {workdir} is being trained by process {os.getpid()} on ' in own.stderr
    assert planned.returncode == 0
    assert f'\nworking     process {os.getpid()} on ' in planned.stdout and ' on replicate 0\n' in planned.stdout


@pytest.mark.parametrize('mode', ['run', 'plan'])
def test_a_replicate_that_there_is_not_is_refused(tmp_path, without_tensorflow, mode):
    result = run(f'--workdir={tmp_path}/run', '--replicate=3', f'--mode={mode}', env=without_tensorflow)
    assert result.returncode == 2
    assert result.stderr == ('tf_lottery: --replicate is 3, but this experiment has replicates 0 to 2: choose one of '
                             'these, or give --config.replicates=4.\n')
    assert not (tmp_path / 'run').exists()


def test_a_missing_data_set_is_one_sentence(tmp_path):
    result = run(f'--workdir={tmp_path}/run', '--config=configs/mnist_lenet.py', f'--data_dir={tmp_path}/none')
    assert result.returncode == 2
    assert f'the data folder {tmp_path}/none does not exist' in result.stderr
    assert 'Traceback' not in result.stderr


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run([sys.executable, str(ROOT / 'main.py'), '--mode=plan'], stdout=writer,
                                stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, '')


def test_the_whole_way_from_one_command(tmp_path):
    settings = ['--workdir=run', '--config.training.length=120it', '--config.pruning.levels=2',
                '--config.branch_levels=(2,)', '--config.replicates=1']
    result = run(*settings, '--tensorboard', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert 'Winning ticket' in result.stdout and 'Random mask' in result.stdout
    for line in result.stdout.splitlines():
        if line.startswith(('Report', 'Ticket')):
            assert (tmp_path / line.split()[1]).exists()
    assert list(tmp_path.glob('run/tensorboard/replicate_0/level_02/ticket/events*'))
    assert not list(tmp_path.glob('run/**/checkpoint_*'))
    stored = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert stored['config']['pruning']['levels'] == 2
    assert '--config.pruning.levels=2' in stored['command']

    # A finished experiment runs only what is missing: here one more level.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob('run/replicate_*/**/*.npz')}
    more = run(*settings, '--config.pruning.levels=3', cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob('run/replicate_*/**/*.npz')}
    assert {path: after[path] for path in before} == before
    assert sorted(str(path.relative_to(tmp_path)) for path in set(after) - set(before)) == [
        f'run/replicate_0/level_03/ticket/{name}.npz' for name in ('mask', 'weights')]

    exported = run(*settings, '--config.pruning.levels=3', '--mode=export', '--level=3', '--weights=rewound',
                   cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    metadata = json.loads((tmp_path / exported.stdout.split()[1] / 'ticket.json').read_text())
    assert metadata['weights'] == 'rewound' and metadata['density'] == pytest.approx(0.516, abs=1e-3)
    refused = run(*settings, '--config.pruning.levels=3', '--mode=export', '--level=7', cwd=tmp_path)
    assert refused.returncode == 2 and 'level_07/ticket has not finished' in refused.stderr
