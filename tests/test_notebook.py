"""What the command line does, from Python: each goes on from where the other stopped."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import tf_keras

import tf_lottery
from tf_lottery import notebook
from tf_lottery.errors import Interrupted, UsageError
from tf_lottery.runtime import objects

ROOT = pathlib.Path(__file__).parents[1]
FILE = """
import numpy as np
import tf_keras

import tf_lottery

INPUTS = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)


def build(seed):
    model = tf_keras.Sequential([
        tf_keras.layers.Dense(6, 'relu', input_shape=(5,)), tf_keras.layers.Dropout(0.2), tf_keras.layers.Dense(1)])
    model.compile('adam', 'mse', metrics=['mae'])
    return model


def examples():
    return {'train': (INPUTS, INPUTS[:, 0]), 'test': (INPUTS, INPUTS[:, 0])}


task = tf_lottery.KerasTask(build, examples)
"""
SHORT = {'length': '20it', 'batch_size': 10, 'evaluate_every': '10it', 'levels': 1, 'replicates': 1,
         'forms': ['ticket'], 'latency_seconds': 0.0, 'jit': False}


@pytest.fixture
def task(tmp_path, monkeypatch):
    """The task of a file in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'small.py').write_text(FILE)
    return objects.load('small.py:task', 'task')


def typed(*flags, folder='runs/small'):
    return subprocess.run(
        [sys.executable, str(ROOT / 'main.py'), f'--config={folder}/config.json', f'--workdir={folder}', *flags],
        capture_output=True, text=True, check=False, env={**os.environ, 'PYTHONPATH': str(ROOT)})


def results(folder):
    files = sorted(pathlib.Path(folder).glob('replicate_*/**/*'))
    return {path.relative_to(folder): path.read_bytes() for path in files
            if path.is_file() and path.name != 'timing.json'}


def test_python_and_the_command_line_go_on_from_each_other(task, capsys):
    frame = tf_lottery.run(task, 'runs/small', **SHORT)
    assert frame[['branch', 'level']].values.tolist() == [['ticket', 0], ['ticket', 1]]
    assert {'final_test_mae', 'early_stop_step'} <= set(frame.columns)
    assert 'Report  runs/small/report/index.html' in capsys.readouterr().out
    before = results('runs/small')
    done = typed('--config.pruning.levels=2', '--jit=off')
    assert done.returncode == 0, done.stderr
    assert {path.parts[1] for path in results('runs/small')} - {path.parts[1] for path in before} == {'level_02'}
    after = results('runs/small')
    assert {path: after[path] for path in before} == before
    # With a path, and by the name that the command line takes.
    frame = tf_lottery.run('small.py:task', pathlib.Path('runs/small'), **{**SHORT, 'levels': 2})
    assert len(frame) == 3
    assert results('runs/small') == after


def made_here(seed):
    model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(3,)), tf_keras.layers.Dense(1)])
    model.compile('sgd', 'mse')
    return model


def test_a_task_that_is_in_no_file_is_reported_and_goes_on_in_python_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = np.random.default_rng(0).normal(size=(60, 3))
    task = tf_lottery.KerasTask(made_here, lambda: {split: (inputs, inputs[:, 0]) for split in ('train', 'test')})
    tf_lottery.run(task, 'runs/here', **SHORT)
    assert len(tf_lottery.run(task, 'runs/here', **SHORT)) == 2
    refused = typed(folder='runs/here')
    assert (refused.returncode, refused.stderr.strip()) == (2, (
        "tf_lottery: the task 'made_here' of this experiment is in no file: go on by tf_lottery.run where it was made, "
        'such as its notebook, or write it into a file, for another folder.'))
    reported = subprocess.run([sys.executable, str(ROOT / 'main.py'), '--workdir=runs/here', '--mode=report'],
                              capture_output=True, text=True, check=False)
    assert 'Report  runs/here/report/index.html' in reported.stdout


def test_a_signal_interrupts_it_and_the_same_call_goes_on(task, monkeypatch):
    folder = pathlib.Path.cwd()
    tf_lottery.run(task, 'runs/whole', **SHORT)
    from tf_lottery.training.callbacks import Evaluation

    at_step = Evaluation.at_step

    def interrupted(self, step, logs):
        at_step(self, step, logs)
        if step == 10:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Evaluation, 'at_step', interrupted)
    with pytest.raises(Interrupted, match='^Stopped by SIGINT; everything is saved'):
        tf_lottery.run(task, 'runs/small', **SHORT)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    tf_lottery.run(task, 'runs/small', **SHORT)
    whole, again = results('runs/whole'), results('runs/small')
    assert {path: content for path, content in whole.items() if path.suffix == '.npz'} == {
        path: content for path, content in again.items() if path.suffix == '.npz'}


def test_it_works_in_a_thread(task):
    found = []
    thread = threading.Thread(target=lambda: found.append(len(tf_lottery.run(task, 'runs/thread', **SHORT))))
    thread.start()
    thread.join()
    assert found == [2]


@pytest.mark.parametrize(('keys', 'sentence'), [
    ({'lenght': '20it'}, 'no config key lenght: Did you mean "training.length" instead of "lenght"?'),
    ({'training.lenght': '20it'}, 'no config key training.lenght: Did you mean "length" instead of "lenght"?'),
    ({'length': 20}, 'training.length'), ({'fraction': 2.0}, 'pruning.fraction'),
    ({'rho': 0.5}, "training.rho is 0.5, which training.optimizer='own' does not read"),
    ({'learning_rate': 0.5}, "training.learning_rate is 0.5, which training.optimizer='own' does not read"),
    ({'flip': True}, 'data.flip is True, which is for image classification'),
    ({'precision': 'mixed_bfloat16'}, "training.precision is 'mixed_bfloat16', which is for image classification"),
    ({'batch_size': 100}, 'training.batch_size is 100'), ({'replicate': 3}, '--replicate is 3')])
def test_a_key_that_cannot_be_is_refused_before_anything_is_written(task, tmp_path, keys, sentence):
    with pytest.raises(UsageError) as error:
        tf_lottery.run(task, 'runs/refused', **{**SHORT, **keys})
    assert sentence in str(error.value)
    assert not (tmp_path / 'runs').exists()


def test_what_is_no_task_is_refused():
    with pytest.raises(UsageError, match="^task is a Sequential: give a tf_lottery.KerasTask, or 'FILE.py:NAME'"):
        tf_lottery.run(made_here(0), 'runs/none')


def test_a_task_is_named_by_its_file(task, monkeypatch):
    assert notebook._reference(task) == 'small.py:task'
    file = objects.file_of('small.py:task')
    monkeypatch.chdir('/')
    assert notebook._reference(task) == f'{file}:task'


def test_another_model_in_the_same_folder_is_refused(task, tmp_path):
    tf_lottery.run(task, 'runs/small', **SHORT)
    (tmp_path / 'small.py').write_text(FILE.replace('Dense(6', 'Dense(7'))
    refused = typed()
    assert refused.returncode == 2
    assert 'Traceback' not in refused.stderr
