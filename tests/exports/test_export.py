"""Tickets and models of one's own in the forms that other programs load."""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras
from fake_runs import save_experiment
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_utils
from test_experiment import experiment

import tf_lottery
from tf_lottery import command
from tf_lottery.errors import CorruptFileError, ExportError, StorageError, UsageError
from tf_lottery.experiment import config, runs
from tf_lottery.experiment.forms import FORMS
from tf_lottery.exports import export, fresh, lending, saved_model, tflite
from tf_lottery.pruning import structure, wrapper
from tf_lottery.reporting import results
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import Measure, Measures
from tf_lottery.tasks.task import Facts, Serving, Weight
from tf_lottery.ticket import Mask, Ticket, pack

layers = tf_keras.layers


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    done = experiment(tmp_path_factory.mktemp('export'), ('ticket',), 2)
    done.run()
    return done


def written(done, weights, level=2, forms=('saved_model',), latency_seconds=0.0):
    stored = runs.read_config(done.workdir)
    return export.export_run(
        done.workdir, stored, runs.Run(0, level, 'ticket'), results.summarise(results.load_results(done.workdir)),
        weights, command='python main.py', options=export.Options(forms, '', latency_seconds))


@pytest.mark.parametrize('weights', ['trained', 'rewound'])
def test_the_model_in_a_fresh_process_is_the_ticket(done, weights, tmp_path):
    folder = written(done, weights)
    images = np.random.default_rng(0).integers(0, 17, (3, 8, 8, 1)).astype('float32')
    np.save(tmp_path / 'images.npy', images / 16)
    # TensorFlow alone: neither tf_lottery nor Keras 2 is there.
    script = f'''
import sys
sys.modules['tf_lottery'] = sys.modules['tf_keras'] = None
import numpy as np, tensorflow as tf
model = tf.saved_model.load({folder!r})
out = model.signatures['serving_default'](image=tf.constant(np.load({str(tmp_path / "images.npy")!r})))
np.savez({str(tmp_path / "out.npz")!r}, **{{name: value.numpy() for name, value in out.items()}})
'''
    subprocess.run([sys.executable, '-c', script], check=True, capture_output=True)
    run = runs.Run(0, 2, 'ticket')
    mask = done.mask(run)
    arrays = done.weights(run) if weights == 'trained' else mask.apply(
        storage.read_arrays(storage.join(done.workdir, 'replicate_0', 'rewind', 'rewound.npz')))
    hidden = images.reshape(3, 64) / 16
    for name in ('fc1', 'fc2'):
        hidden = np.maximum(hidden @ arrays[f'{name}/kernel'] + arrays[f'{name}/bias'], 0)
    logits = hidden @ arrays['output/kernel'] + arrays['output/bias']
    served = np.load(tmp_path / 'out.npz')
    np.testing.assert_allclose(served['logits'], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(served['probabilities'].sum(axis=1), 1, rtol=1e-5)
    assert np.array_equal(served['label'], logits.argmax(axis=1))


@pytest.fixture(scope='module')
def every_form(done):
    return pathlib.Path(written(done, 'trained', forms=tuple(FORMS), latency_seconds=0.01))


def test_pruned_weights_are_exact_zeros(every_form):
    model = tf.saved_model.load(str(every_form))
    zeros = {variable.name: int(np.sum(variable.numpy() == 0)) for variable in model.variables
             if 'kernel' in variable.name}
    assert zeros == {'fc1/kernel:0': 19200 - 12288, 'fc2/kernel:0': 30000 - 19200, 'output/kernel:0': 1000 - 810}
    for form in ('tflite', 'tflite_sparse'):
        found = tflite.weights((every_form / FORMS[form]).read_bytes())
        assert [int(np.sum(value == 0)) for value in found] == list(zeros.values())


def test_the_metadata_say_which_is_which(done, every_form):
    trained = json.loads((every_form / 'ticket.json').read_text())
    rewound = json.loads((pathlib.Path(written(done, 'rewound', forms=('ticket',))) / 'ticket.json').read_text())
    assert trained['what'] == 'the ticket trained to the end, step 60'
    assert rewound['what'] == 'the ticket as it starts, rewound to step 20: train it before use'
    result = storage.read_json(done.path(runs.Run(0, 2, 'ticket'), 'result.json'))
    assert trained['test_accuracy'] == pytest.approx(result['final_test_accuracy'])
    assert trained['kept'] == rewound['kept'] == result['kept'] == 12288 + 19200 + 810
    assert trained['config']['data']['name'] == 'digits' and trained['command'] == 'python main.py'
    assert list(trained['sizes']) == ['dense saved_model', 'dense tflite', *FORMS]
    assert list(trained) == [
        'what', 'weights', 'run', 'branch', 'level', 'density', 'kept', 'prunable', 'density_by_layer', 'test_accuracy',
        'early_stop_step', 'early_stop_test_accuracy', 'replicates', 'accuracy_over_replicates', 'test', 'input',
        'output', 'files', 'config', 'versions', 'command', 'trained_by', 'examples', 'forms', 'latency',
        'predictions_changed', 'litert_accuracy', 'int8_errors', 'zeros_unseen', 'fixed_batch', 'keras_reads', 'shrunk',
        'sizes']
    assert trained['input'] == 'image: float32 [n, 8, 8, 1], pixel values divided by 16' and trained['files'] is None
    assert trained['output'] == 'logits, probabilities: float32 [n, 10]; label: int64 [n]'
    assert trained['early_stop_test_accuracy'] == result['early_stop_test_accuracy']
    assert list(trained['litert_accuracy']) == ['tflite', 'tflite_sparse', 'tflite_int8']
    assert 0.5 < trained['litert_accuracy']['tflite_int8'] <= 1
    assert trained['litert_accuracy']['tflite'] == trained['test_accuracy']
    assert [sorted(each['seconds']) for each in trained['latency']] == [
        ['dense', 'saved_model'], ['dense', 'tflite', 'tflite_int8', 'tflite_sparse']]
    assert all(set(seconds) == {'1', '32'} for each in trained['latency'] for seconds in each['seconds'].values())


def test_the_card_says_what_it_is_how_good_how_small_and_how_fast(done, every_form):
    card = (every_form / 'README.md').read_text()
    result = storage.read_json(done.path(runs.Run(0, 2, 'ticket'), 'result.json'))
    assert 'It keeps 32,298 of 50,200 prunable weights (64.34%)' in card
    assert f'On the 500 test images: {result["final_test_accuracy"]:.2%}.' in card
    size = (every_form / 'model_sparse.tflite').stat().st_size
    assert f'| TFLite, zeros left out | 50,200 | 32,298 | {size:,} |' in card
    assert '| `fc1/kernel` | 64.00% |' in card and '| `output/kernel` | 81.00% |' in card
    assert 'by the units and channels that were removed, not by zeros' in card
    assert 'exported by `python main.py`' in card and 'tensorflow 2.21.0' in card


def test_the_ticket_file_is_the_ticket(done, every_form):
    ticket = tf_lottery.load_ticket(str(every_form / 'rewound.ticket'))
    rewound = storage.read_arrays(storage.join(done.workdir, 'replicate_0', 'rewind', 'rewound.npz'))
    assert ticket.step == 20 and ticket.mask == done.mask(runs.Run(0, 2, 'ticket'))
    assert np.array_equal(ticket.weights['fc1/kernel'], rewound['fc1/kernel'] * ticket.mask['fc1/kernel'])
    assert np.array_equal(ticket.weights['fc1/bias'], rewound['fc1/bias'])


def test_keras_reads_the_saved_model_and_trains_it_on(every_form, done):
    model = tf_lottery.load_model(str(every_form))
    assert isinstance(model, tf_keras.Sequential)
    weights = done.weights(runs.Run(0, 2, 'ticket'))
    assert all(np.array_equal(value, weights[name]) for name, value in wrapper.get_weights(model).items())
    model.compile('sgd', tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(np.ones((20, 8, 8, 1)), np.ones(20), epochs=3, verbose=0).history['loss']
    assert history[-1] < history[0]


def test_a_changed_missing_or_foreign_file_is_one_sentence(every_form, tmp_path):
    copy = tmp_path / 'copy'
    storage.replace_folder(str(every_form), str(copy))
    subprocess.run(['sha256sum', '--quiet', '-c', 'SHA256SUMS'], cwd=copy, check=True)
    for name in ('saved_model.pb', 'variables/variables.data-00000-of-00001', 'model.tflite', 'README.md'):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-1])
        with pytest.raises(CorruptFileError, match=f'{name} is corrupt: its checksum does not fit'):
            tf_lottery.load_model(str(copy))
        (copy / name).write_bytes(content)
    (copy / 'saved_model.pb').unlink()
    with pytest.raises(CorruptFileError, match='saved_model.pb is corrupt'):
        tf_lottery.load_model(str(copy))
    with pytest.raises(CorruptFileError, match='is not an export: it has no SHA256SUMS'):
        tf_lottery.load_model(str(tmp_path))


def spoil_saved_model(monkeypatch):
    write = saved_model.write

    def spoilt(subject, folder):
        variable = wrapper.variables(subject.network)['fc2/kernel']
        variable.assign_add(np.full(variable.shape, 1e-7, 'float32'))
        write(subject, folder)

    monkeypatch.setattr(saved_model, 'write', spoilt)


def spoil_tflite(monkeypatch):
    convert = tflite.convert

    def spoilt(network):
        variable = wrapper.variables(network)['output/bias']
        variable.assign_add([0.01] * 10)
        return convert(network)

    monkeypatch.setattr(tflite, 'convert', spoilt)


def spoil_ticket(monkeypatch):
    save = export.ticket_file.save_ticket
    monkeypatch.setattr(export.ticket_file, 'save_ticket', lambda path, ticket, about: save(
        path, Ticket(ticket.mask, ticket.weights, ticket.step + 1), about))


@pytest.mark.parametrize('spoil, form, sentence', [
    (spoil_saved_model, 'saved_model', 'does not hold the weights of fc2/kernel'),
    (spoil_tflite, 'tflite', 'the form tflite does not compute what the network computes'),
    (spoil_ticket, 'ticket', 'the ticket file does not hold the ticket'),
])
def test_a_form_that_is_not_the_ticket_is_no_export_and_harms_no_earlier_one(done, monkeypatch, spoil, form, sentence):
    folder = pathlib.Path(written(done, 'trained', 1, ('ticket',)))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    storage.remove(str(folder.parent / 'replicate_0_level_00_trained'))
    spoil(monkeypatch)
    for level in (0, 1):
        with pytest.raises(ExportError, match=sentence):
            written(done, 'trained', level, (form,))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not [path for path in folder.parent.iterdir() if 'level_00' in path.name or '.tmp' in path.name]


def test_the_card_compares_replicates_with_their_own_dense_networks(done):
    frame = results.load_results(done.workdir)
    dense, ticket = (frame[frame['level'] == level].iloc[0] for level in (0, 2))
    # A second replicate has come to its dense network only, and of a third one that diverged.
    others = [{**dense, 'replicate': 1, 'final_test_accuracy': 0.1}, {**dense, 'replicate': 2, 'diverged': True},
              {**ticket, 'replicate': 2, 'final_test_accuracy': 0.1}]
    summary = results.summarise(pd.concat([frame, pd.DataFrame(others)], ignore_index=True))
    folder = export.export_run(
        done.workdir, runs.read_config(done.workdir), runs.Run(0, 2, 'ticket'), summary,
        options=export.Options(('ticket',), '', 0.0))
    about = json.loads(pathlib.Path(folder, 'ticket.json').read_text())
    assert about['replicates'] == 1
    assert about['accuracy_over_replicates'] == {
        'dense': [dense['final_test_accuracy']] * 3, 'ticket': [ticket['final_test_accuracy']] * 3}


def test_a_ticket_as_it_starts_needs_no_trained_weights(done, monkeypatch):
    monkeypatch.setattr(runs, 'read_weights', None)
    assert written(done, 'rewound', forms=('ticket',)).endswith('level_02_rewound')


def test_a_level_that_is_not_there_is_told(done):
    with pytest.raises(UsageError, match='level_07/ticket has not finished: choose another --level or --replicate'):
        written(done, 'trained', level=7)


def test_a_fresh_process_that_fails_is_one_sentence(done, monkeypatch, capsys):
    monkeypatch.setattr(fresh, '_HERE', fresh._HERE.parent)
    with pytest.raises(ExportError, match="does not run in a fresh process: .*can't open file"):
        written(done, 'trained')
    assert command.in_one_sentence(lambda: written(done, 'trained')) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_fresh_process_that_crashes_says_how(tmp_path):
    crash = 'import os, sys; print("INFO: ready.", file=sys.stderr, flush=True); os.abort()'
    with pytest.raises(ExportError, match='does not run in a fresh process: it ended by Aborted\\.$'):
        fresh._call([sys.executable, '-c', crash], tmp_path)


@pytest.fixture(scope='module')
def branches(tmp_path_factory):
    """One level of several branches."""
    done = experiment(tmp_path_factory.mktemp('branches'), (
        'ticket', 'random_reinit', 'snip', 'frozen', 'frozen_by_direction', 'untrained', 'supermask'), 1)
    done.run()
    return done


def exported(done, run, weights='trained', forms=('ticket',)):
    return pathlib.Path(export.export_run(
        done.workdir, runs.read_config(done.workdir), run, results.summarise(results.load_results(done.workdir)),
        weights, command='python main.py', options=export.Options(forms, '', 0.0)))


@pytest.mark.parametrize(('branch', 'beginning', 'beside', 'start'), [
    ('snip', 'SNIP (the branch `snip`), trained to the end, step 60. It keeps ', '`snip` of level 1, trained',
     'mask, W_0 and step 0,'),
    ('frozen', 'Frozen at W_0 (the branch `frozen`), trained to the end, step 60. It trains 40,260 of 50,200 prunable '
     'weights (80.20%); of the others 9,940 are frozen at what they were before training, and the rest are exact '
     'zeros.',
     '`frozen` of level 1, trained', 'mask, W_k, k and what is frozen,'),
    ('untrained', 'Ticket, never trained (the branch `untrained`), as it is at step 0. It keeps ',
     '`untrained` of level 1', 'mask, W_0 and step 0,'),
    ('supermask', 'Supermask (the branch `supermask`), its mask learned to step 60, its weights as they were drawn. It '
     'keeps ', '`supermask` of level 1, trained', 'mask, W_0 and step 0,')])
def test_the_card_of_another_branch_says_which_it_is(branches, branch, beginning, beside, start):
    run = runs.Run(0, 1, branch)
    folder = exported(branches, run)
    assert folder.name == f'replicate_0_level_01_{branch}_trained'
    card = (folder / 'README.md').read_text()
    about, result = json.loads((folder / 'ticket.json').read_text()), storage.read_json(
        branches.path(run, 'result.json'))
    assert f'\n\n{beginning}' in card
    assert f'| {beside} | {result["final_test_accuracy"]:.2%} |' in card and f'`rewound.ticket` | {start}' in card
    assert f'The branch `{branch}` (' in card and 'of an experiment of iterative magnitude pruning' in card
    assert about['branch'] == branch and about['test_accuracy'] == pytest.approx(result['final_test_accuracy'])
    ticket = tf_lottery.load_ticket(str(folder / 'rewound.ticket'))
    assert (ticket.mask, ticket.step) == (branches.mask(run), result['start_step'])


@pytest.mark.parametrize('branch', ['frozen', 'frozen_by_direction'])
def test_the_zeros_of_a_frozen_network_are_those_that_it_has(branches, branch):
    run = runs.Run(0, 1, branch)
    weights, mask = branches.weights(run), branches.mask(run)
    folder = exported(branches, run, forms=('tflite_sparse', 'ticket'))
    pruned = {name: weights[name][~kept] for name, kept in mask.items()}
    about = json.loads((folder / 'ticket.json').read_text())
    assert about['kept'] == mask.kept
    assert about['frozen'] == sum(np.count_nonzero(values) for values in pruned.values())
    assert (about['frozen'] == mask.size - mask.kept) is (branch == 'frozen')
    assert about['sizes']['tflite_sparse']['kept'] == sum(np.count_nonzero(weights[name]) for name in mask)
    assert 'and its zeros are where they are in memory.' in (folder / 'README.md').read_text()
    ticket = tf_lottery.load_ticket(str(folder / 'rewound.ticket'))
    rewound = storage.read_arrays(storage.join(branches.workdir, 'replicate_0', 'rewind', 'rewound.npz'))
    for name, kept in mask.items():
        assert np.array_equal(ticket.start[name][kept], rewound[name][kept])
        assert np.array_equal(ticket.start[name][~kept], pruned[name])
        assert np.array_equal(ticket.frozen[name][~kept], pruned[name])
    # As it starts, it is another network with the same pruned weights.
    again = exported(branches, run, 'rewound')
    assert again.name == f'replicate_0_level_01_{branch}_rewound'
    assert json.loads((again / 'ticket.json').read_text())['frozen'] == about['frozen']


def test_copies_are_runs_of_their_own(branches):
    folder = exported(branches, runs.Run(0, 1, 'random_reinit', 1), forms=('tflite',))
    assert folder.name == 'replicate_0_level_01_random_reinit_1_trained'
    card = (folder / 'README.md').read_text()
    assert 'At the end of training, over 2 runs (of all replicates and copies):' in card
    result = storage.read_json(branches.path(runs.Run(0, 1, 'random_reinit', 1), 'result.json'))
    assert f'On the 500 test images: {result["final_test_accuracy"]:.2%}.' in card


@pytest.mark.parametrize('python, sentence', [
    ('/no/such/python', 'cannot be started .*give --config.export.litert_python a Python interpreter'),
    ('bare', 'has no LiteRT to verify TFLite files in: install ai-edge-litert there'),
])
def test_a_python_without_litert_is_told(done, tmp_path, python, sentence):
    if python == 'bare':
        # An interpreter that does not see this one's packages, but NumPy.
        bare = tmp_path / 'bare'
        subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(bare)], check=True)
        (bare / 'lib' / 'python3.11' / 'site-packages' / 'numpy').symlink_to(pathlib.Path(np.__file__).parent)
        python = str(bare / 'bin' / 'python')
    stored = runs.read_config(done.workdir)
    with pytest.raises(UsageError, match=sentence):
        export.export_run(done.workdir, stored, runs.Run(0, 1, 'ticket'), results.summarise(
            results.load_results(done.workdir)), options=export.Options(('tflite',), python))


def convolutional():
    """A network with a convolution, batch normalisation of uneven statistics, and a dense layer, half of it pruned."""
    model = tf_lottery.prunable(tf_keras.Sequential([
        tf_keras.layers.Conv2D(8, 3, use_bias=False, input_shape=(8, 8, 3), name='conv'),
        tf_keras.layers.BatchNormalization(name='norm'), tf_keras.layers.ReLU(), tf_keras.layers.Flatten(),
        tf_keras.layers.Dense(10, name='output')]))
    rng = np.random.default_rng(0)
    for name, variable in wrapper.variables(model).items():
        variable.assign(rng.uniform(0.5, 2, variable.shape) if name.startswith('norm')
                        else rng.uniform(-0.1, 0.1, variable.shape))
    # One class wins by far, whatever int8 makes of the others.
    wrapper.variables(model)['output/bias'].assign([0] * 9 + [5])
    wrapper.set_mask(model, Mask({name: rng.random(weight.shape) < 0.5 for name, (_, weight, *_) in
                                  wrapper.prunable_variables(model).items()}))
    return model


def test_a_model_of_ones_own_is_exported(tmp_path):
    model, path = convolutional(), str(tmp_path / 'mine')
    before = wrapper.get_weights(model)
    examples = np.random.default_rng(1).random((40, 8, 8, 3), np.float32)
    ticket = Ticket(wrapper.get_mask(model), wrapper.get_weights(model), 7)
    assert tf_lottery.export(model, path, tuple(FORMS), examples, ticket) == path
    served = tf.saved_model.load(path).signatures['serving_default'](inputs=tf.constant(examples))['outputs']
    np.testing.assert_allclose(served, model.predict(examples, verbose=0), rtol=1e-4, atol=1e-4)
    assert tf_lottery.load_ticket(f'{path}/rewound.ticket').step == 7
    assert f'keeps {ticket.mask.kept:,} of 3,096 prunable' in pathlib.Path(path, 'README.md').read_text()
    assert all(np.array_equal(value, before[name]) for name, value in wrapper.get_weights(model).items())
    for form in ('tflite', 'tflite_sparse', 'tflite_int8'):
        kernel = tflite.weights((tmp_path / 'mine' / FORMS[form]).read_bytes())[0]
        assert not kernel[~ticket.mask['conv/kernel']].any() and kernel.any()


def test_a_sparse_layer_runs_on_the_sparse_kernel_and_on_no_other(tmp_path, monkeypatch):
    # Dense layers on both sides: what is read beyond the survivors is then theirs, and the process does not crash.
    layers = [tf_keras.layers.Dense(200, input_shape=(200,)), tf_keras.layers.Dense(50, name='fc'),
              tf_keras.layers.Dense(200)]
    model = tf_keras.Sequential(layers)
    rng = np.random.default_rng(0)
    layers[1].set_weights([rng.standard_normal((200, 50)) * (rng.random((200, 50)) < 0.03), rng.standard_normal(50)])
    tf_lottery.export(model, str(tmp_path / 'mine'), ('tflite_sparse',))
    # Under version 1 of the operator LiteRT's XNNPACK reads the survivors as if they were the dense weight.
    monkeypatch.setattr(tflite, '_SPARSE_VERSION', 1)
    with pytest.raises(ExportError, match='the form tflite_sparse does not compute what the network computes'):
        tf_lottery.export(model, str(tmp_path / 'other'), ('tflite_sparse',))
    assert not (tmp_path / 'other').exists()


def test_a_stripped_model_goes_to_a_remote_folder(tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,), name='fc')])
    model.set_weights([np.array([[1, 0, 2], [0, 0, 0], [0, 3, 0], [4, 0, 5]], np.float32), np.ones(3, np.float32)])
    tf_lottery.export(model, 'ram://exports/mine')
    tf_lottery.export(model, 'ram://exports/mine')
    about = storage.read_json('ram://exports/mine/ticket.json')
    assert about['kept'] == 5 and about['prunable'] == 12
    served = tf.saved_model.load('ram://exports/mine').signatures['serving_default'](inputs=tf.ones([1, 4]))['outputs']
    assert served.numpy().tolist() == [[6, 4, 8]]
    export.check('ram://exports/mine')


def test_a_folder_that_cannot_be_reached_is_told_before_a_form_is_made(monkeypatch):
    monkeypatch.setattr(export, '_make', None)
    with pytest.raises(StorageError, match='^cannot look for s3://bucket/x: TensorFlow has no file system for s3://'):
        tf_lottery.export(tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))]), 's3://bucket/x/')
    with pytest.raises(StorageError, match='^cannot look for s3://bucket/x/SHA256SUMS: TensorFlow has no file system'):
        tf_lottery.load_model('s3://bucket/x')


def test_a_model_that_cannot_be_exported_is_told():
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,))])
    with pytest.raises(UsageError, match="forms are .*'onnx'.*choose some of saved_model, tflite"):
        tf_lottery.export(model, 'ram://no', ('onnx',))
    with pytest.raises(UsageError, match="the form 'ticket' needs a ticket"):
        tf_lottery.export(model, 'ram://no', ('ticket',))


def test_the_checksums_cover_every_file(every_form):
    lines = (every_form / 'SHA256SUMS').read_text().splitlines()
    named = {line.split('  ')[1]: line.split('  ')[0] for line in lines}
    there = {str(path.relative_to(every_form)) for path in every_form.rglob('*') if path.is_file()} - {'SHA256SUMS'}
    assert set(named) == there
    assert named['README.md'] == hashlib.sha256((every_form / 'README.md').read_bytes()).hexdigest()


def test_a_shrunk_export_computes_the_same_with_fewer_units(done, tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(4, 'relu', input_shape=(3,), name='fc'),
                                 tf_keras.layers.Dense(2, name='output')])
    kernel = np.array([[1, 0, 2, 0], [0, 0, 1, 3], [1, 0, 0, 0]], np.float32)
    # Unit 1 is fed by nothing and is relu(5), unit 3 is read by nothing.
    readers = np.array([[1, 0], [2, 0], [0, 3], [0, 0]], np.float32)
    model.set_weights([kernel, np.array([0, 5, 0, 0], np.float32), readers, np.zeros(2, np.float32)])
    folder = tf_lottery.export(model, str(tmp_path / 'small'), ('saved_model', 'tflite_sparse', 'ticket'),
                               ticket=Ticket(lending.nonzero(model), wrapper.get_weights(model), 0))
    small = tf_lottery.load_model(folder)
    assert [array.tolist() for array in small.get_weights()] == [
        [[1, 2], [0, 1], [1, 0]], [0, 0], [[1, 0], [0, 3]], [10, 0]]
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(small(inputs), model(inputs), rtol=1e-5)
    card = pathlib.Path(folder, 'README.md').read_text()
    assert '| `fc` | 4 | 2 | 16 | 8 |' in card
    # Of 20 weights 8 are not zero; of the 10 that are left 6.
    assert re.search(r'\| dense SavedModel \| 20 \| 20 \|', card)
    assert re.search(r'\| SavedModel \| 10 \| 6 \|', card) and re.search(r'\| TFLite, .* \| 10 \| 6 \|', card)
    assert re.search(r'\| rewound ticket \| 20 \| 8 \|', card)
    whole = tf_lottery.load_model(tf_lottery.export(model, str(tmp_path / 'whole'), shrink=False))
    assert all(np.array_equal(*pair) for pair in zip(whole.get_weights(), model.get_weights(), strict=True))


def test_a_run_is_shrunk_but_for_its_ticket(done):
    stored = runs.read_config(done.workdir)
    folder = export.export_run(
        done.workdir, stored, runs.Run(0, 2, 'ticket'), results.summarise(results.load_results(done.workdir)),
        'trained', options=export.Options(('saved_model', 'ticket'), shrink=True))
    assert json.loads(pathlib.Path(folder, 'ticket.json').read_text())['shrunk'].keys() == {'fc1', 'fc2', 'output'}
    whole = tf_lottery.load_ticket(str(pathlib.Path(folder, FORMS['ticket'])))
    assert whole.mask == done.mask(runs.Run(0, 2, 'ticket'))


@pytest.mark.parametrize('mode, weights, shrink, expected', [
    ('export', 'trained', None, True), ('export', 'rewound', None, False), ('run', 'trained', None, False),
    ('export', 'trained', False, False), ('export', 'rewound', True, True), ('run', 'trained', True, True)])
def test_who_deploys_gets_a_shrunk_network(done, monkeypatch, mode, weights, shrink, expected):
    settings = config.defaults()
    settings.export.shrink = shrink
    asked = []
    monkeypatch.setattr(export, 'export_run', lambda *arguments: asked.append(arguments[-2].shrink))
    command._export(done.workdir, types.SimpleNamespace(
        mode=mode, weights=weights, config=settings, branch='ticket', level=2, replicate=0, rewind_to=None,
        data_dir=None), 'command', 0)
    assert asked == [expected]


def test_a_network_with_nothing_to_remove_is_told(tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(2,), name='fc')])
    model.set_weights([np.eye(2), np.zeros(2)])
    folder = tf_lottery.export(model, str(tmp_path / 'model'))
    assert 'there was none to remove' in pathlib.Path(folder, 'README.md').read_text()


def test_shrinking_that_changes_an_output_is_no_export(tmp_path, monkeypatch):
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(2,), name='fc')])
    model.set_weights([np.eye(2), np.zeros(2)])
    shrink = export.shrinking.shrink

    def spoilt(network):
        smaller, changes = shrink(network)
        smaller.set_weights([np.eye(2), np.ones(2)])
        return smaller, changes

    monkeypatch.setattr(export.shrinking, 'shrink', spoilt)
    with pytest.raises(ExportError, match='the shrunk network does not compute .* Export it whole: shrink=False'):
        tf_lottery.export(model, str(tmp_path / 'model'))
    assert not (tmp_path / 'model').exists()


@pytest.fixture(scope='module')
def unlike_its_config(tmp_path_factory):
    """A model that no copy from its config is, and its export: adapted, with functions, two inputs and two outputs."""
    class Scaled(layers.Layer):
        """Has a variable that a config knows nothing of."""

        def __init__(self, factor):
            super().__init__(name='scaled')
            self.factor = tf.Variable(1.0)
            self.factor.assign(factor)

        def call(self, inputs):
            return inputs * self.factor

    tf_keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    given = {'size-of': 10 * rng.normal(size=(40, 3)) + 5, 'word': rng.choice(['a', 'b', 'c'], (40, 2))}
    size, word = tf_keras.Input((3,), name='size-of'), tf_keras.Input((2,), name='word', dtype='string')
    normalization = layers.Normalization()
    normalization.adapt(given['size-of'])
    tokens = layers.StringLookup(vocabulary=['a', 'b'])(word)
    hidden = layers.concatenate([normalization(size), layers.Flatten()(layers.Embedding(4, 2, name='embed')(tokens))])
    for name in ('left', 'right'):
        hidden = tf_keras.Sequential([layers.Dense(6, lambda inputs: tf.nn.relu(3 * inputs), name='fc',
                                                   input_shape=hidden.shape[1:])], name=name)(hidden)
    outputs = [layers.Dense(1, name='price', kernel_initializer='ones')(Scaled(7.0)(hidden)),
               layers.Dense(4, 'softmax', name='kind')(hidden)]
    model = tf_keras.Model([size, word], outputs, name='mine')
    model.add_loss(tf.reduce_mean(outputs[0]))
    model = tf_lottery.prunable(model)
    wrapper.set_mask(model, Mask({name: rng.random(weight.shape) < 0.6 for name, (_, weight, *_) in
                                  wrapper.prunable_variables(model).items()}))
    # A mask holds wherever the variable is, at the time of export.
    model.get_layer('left').layers[0].layer.kernel.assign_add(np.ones((7, 6)))
    model.compile(tf_keras.optimizers.SGD(1e-9), ['mse', 'sparse_categorical_crossentropy'])
    before = model.optimizer, model.get_weights(), model.predict(given, verbose=0)
    folder = tf_lottery.export(model, str(tmp_path_factory.mktemp('mine') / 'export'), ('saved_model', 'tflite'), given,
                               shrink=False)
    return model, given, before, folder


def test_an_export_is_the_model_that_was_given_and_no_copy(unlike_its_config):
    model, given, (_, _, (price, kind)), folder = unlike_its_config
    loaded = tf.saved_model.load(folder)
    serve = loaded.signatures['serving_default']
    found = serve(size_of=tf.constant(given['size-of'], tf.float32), word=tf.constant(given['word']))
    assert set(found) == {'price', 'kind'}
    np.testing.assert_allclose(found['price'], price, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found['kind'], kind, rtol=1e-3, atol=1e-5)
    mask = wrapper.get_mask(model)['left/fc/kernel']
    kernels = [variable.numpy() for variable in loaded.variables if variable.name == 'fc/kernel:0']
    assert len(kernels) == 2 and any(not kernel[~mask].any() for kernel in kernels if kernel.shape == mask.shape)


def test_the_model_that_was_given_is_as_it_was(unlike_its_config):
    model, given, (optimizer, weights, (price, _)), _ = unlike_its_config
    assert model.optimizer is optimizer and model.compiled_loss is not None and wrapper.wrappers(model)
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), weights, strict=True))
    assert all(layer.trainable for layer in model.layers)
    assert np.array_equal(model.predict(given, verbose=0)[0], price)
    model.fit(given, [np.ones((40, 1)), np.ones(40)], verbose=0)


def test_the_card_says_what_goes_in_and_out(unlike_its_config):
    card = pathlib.Path(unlike_its_config[-1], 'README.md').read_text()
    assert ('`serving_default` takes size_of: float32 [n, 3]; word: string [n, 2], and returns price: float32 [n, 1]; '
            'kind: float32 [n, 4].') in card
    assert 'run on 40 examples' in card and 'load_model` does not make' not in card


def test_a_copy_that_is_not_the_model_is_no_export_and_harms_no_earlier_one(unlike_its_config, monkeypatch):
    model, given, _, folder = unlike_its_config
    before = {path: path.read_bytes() for path in pathlib.Path(folder).rglob('*') if path.is_file()}
    plain, weights = lending.plain, model.get_weights()

    def copy(layer):
        return layer.from_config(layer.get_config()) if isinstance(layer, layers.Normalization) else layer

    def copied(model):
        # Its weights go to the copy, but not what the layer has computed of them when it was adapted.
        network = plain(model)
        return tf_keras.models.clone_model(network, clone_function=copy) if model.name == 'mine' else network

    monkeypatch.setattr(lending, 'plain', copied)
    with pytest.raises(ExportError, match="the model without wrappers .* does not compute .*: 'price' differs by"):
        tf_lottery.export(model, folder, examples=given, shrink=False)
    assert {path: path.read_bytes() for path in pathlib.Path(folder).rglob('*') if path.is_file()} == before
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), weights, strict=True))


def test_a_model_in_mixed_precision_is_exported_in_float32(tmp_path):
    policy = tf_keras.mixed_precision.Policy('mixed_bfloat16')
    model = tf_keras.Sequential([layers.Dense(30, 'relu', input_shape=(20,), dtype=policy),
                                 layers.Dense(2, dtype=policy)])
    examples = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    folder = tf_lottery.export(model, str(tmp_path / 'mine'), examples=examples, shrink=False)
    found = tf.saved_model.load(folder).signatures['serving_default'](inputs=tf.constant(examples))['outputs']
    (first, bias), (second, shift) = (map(np.float64, layer.get_weights()) for layer in model.layers)
    np.testing.assert_allclose(found, np.maximum(examples @ first + bias, 0) @ second + shift, rtol=1e-4, atol=1e-5)
    assert model.layers[0].compute_dtype == 'bfloat16' and tf_lottery.load_model(folder).layers[0].compute_dtype == (
        'float32')
    card = pathlib.Path(folder, 'README.md').read_text()
    assert 'given in mixed_bfloat16 and is exported in float32' in card and 'outputs: float32 [n, 2]' in card


@pytest.mark.parametrize('layer, sentence', [
    (layers.Embedding(5, 2, input_length=3), r'does not run on 100 draws \(indices.*give examples='),
    (layers.Lambda(lambda inputs: tf.math.log(inputs), input_shape=(3,)),
     "output 'outputs' of .* is not a number for some of 100 draws: give examples=")])
def test_draws_that_a_model_is_not_made_for_are_told(layer, sentence):
    with pytest.raises(UsageError, match=sentence):
        tf_lottery.export(tf_keras.Sequential([layer, layers.Flatten(), layers.Dense(2)]), 'ram://no')
    assert not storage.exists('ram://no')


def test_what_a_form_cannot_hold_is_told_before_anything_is_written():
    class Determinant(layers.Layer):
        def call(self, inputs):
            return tf.linalg.svd(tf.reshape(inputs, (-1, 2, 2)), compute_uv=False)

    class Unspeakable(layers.Layer):
        def get_config(self):
            raise KeyError('secret')

    for layer, form, sentence in (
            (Determinant(name='odd'), 'tflite', "tflite cannot hold layer 'odd', a Determinant .TFLite has no Svd"),
            (Unspeakable(name='odd'), 'saved_model', "cannot hold layer 'odd', a Unspeakable .KeyError: 'secret'")):
        with pytest.raises(UsageError, match=sentence):
            tf_lottery.export(tf_keras.Sequential([layers.Dense(4, input_shape=(4,)), layer]), 'ram://no', (form,),
                              shrink=False)
    assert not storage.exists('ram://no')


def test_a_recurrent_network_takes_one_sequence_at_a_time_in_litert(tmp_path):
    model = tf_keras.Sequential([layers.LSTM(4, input_shape=(5, 3)), layers.Dense(2)])
    folder = tf_lottery.export(model, str(tmp_path / 'mine'), ('tflite', 'tflite_int8'), shrink=False)
    card = pathlib.Path(folder, 'README.md').read_text()
    assert 'LiteRT takes batches of exactly 1 in `model.tflite`, `model_int8.tflite`' in card
    assert re.search(r'The error of int8 in `outputs` is [0-2]\.\d\d% of its range, .*; 3% may be\.', card)


def test_a_model_of_text_with_an_adapted_vocabulary_is_exported(tmp_path):
    words = layers.TextVectorization(9, output_sequence_length=3, name='words')
    words.adapt(['a b c', 'd e f'])
    model = tf_keras.Sequential([
        tf_keras.Input((1,), dtype='string'), words, layers.Embedding(9, 2), layers.GlobalAveragePooling1D(),
        layers.Dense(2)])
    text = np.array([['a b'], ['f e d'], ['g']])
    path = tf_lottery.export(model, str(tmp_path / 'export'), examples=text)
    served = tf.saved_model.load(path).signatures['serving_default'](inputs=tf.constant(text))['outputs']
    assert np.allclose(served, model.predict(text, verbose=0), atol=1e-6)


class Sales:
    """A task of one's own: three inputs of different dtypes, two outputs, a measure of which less is better, and no
    early stop."""

    measures = Measures((Measure('rmse', 'RMS error', '€', digits=3),), early_stop=None)
    policy = 'float32'

    def __init__(self):
        rng = np.random.default_rng(0)
        # As users have them: not in the dtypes that the network takes.
        self.inputs = {'size_of': rng.normal(size=(40, 3)), 'day': rng.integers(0, 7, (40, 1)),
                       'word': np.array(rng.choice(['a', 'b', 'ü'], (40, 2)), object)}

    def facts(self):
        return Facts('sales', {'fc/kernel': Weight('dense', (3, 1), 1)}, 100, 10, 50, False)

    def network(self, seed):
        tf_keras.utils.set_random_seed(seed)
        size, day, word = (tf_keras.Input((3,), name='size-of'), tf_keras.Input((1,), name='day', dtype='int32'),
                           tf_keras.Input((2,), name='word', dtype='string'))
        tokens = layers.StringLookup(vocabulary=['a', 'ü'])(word)
        hidden = layers.concatenate([size, *(layers.Flatten()(embedding) for embedding in (
            layers.Embedding(7, 4, name='days')(day), layers.Embedding(3, 4, name='words')(tokens)))])
        hidden = layers.Dense(20, 'relu', name='fc', dtype=self.policy)(hidden)
        return tf_keras.Model([size, day, word], [layers.Dense(1, name='price')(hidden),
                                                  layers.Dense(2, name='sold')(hidden)])

    def serving(self, data_dir=None):
        return Serving(self.inputs, {name: array[:10] for name, array in self.inputs.items()}, score=self.score)

    def score(self, outputs):
        return float(np.sqrt(np.mean(np.square(outputs['price'] - 1))))


@pytest.fixture(scope='module')
def sales(tmp_path_factory):
    """A finished run of `Sales`, as far as an export reads it, and the network that it ended in."""
    workdir, run, task = tmp_path_factory.mktemp('sales'), runs.Run(0, 1, 'ticket'), Sales()
    save_experiment(str(workdir))
    network, start = task.network(1), task.network(2)
    mask = Mask({'fc/kernel': np.random.default_rng(0).random((15, 20)) < 0.5, 'price/kernel': np.ones((20, 1), bool)})
    values = mask.apply(wrapper.get_weights(network))
    for name, variable in wrapper.variables(network).items():
        variable.assign(values[name])
    storage.write_arrays(storage.join(workdir, run.folder, 'mask.npz'), mask.to_arrays())
    storage.write_arrays(storage.join(workdir, run.folder, 'weights.npz'), pack(values, mask))
    storage.write_arrays(storage.join(workdir, run.rewound_weights), wrapper.get_weights(start))
    storage.write_json(storage.join(workdir, run.folder, 'result.json'), {
        'diverged': False, 'start_step': 5, 'end_step': 40, 'density': mask.density, 'kept': mask.kept,
        'size': mask.size, 'layers': {'fc/kernel': 0.5}})
    summary = {'branch': 'ticket', 'level': 1, 'pairs': 3, **{
        f'{half}_final_test_rmse_{name}': 0.5 for half in ('dense', 'paired') for name in ('mean', 'min', 'max')}}
    return str(workdir), run, task, network, pd.DataFrame([summary])


def sold(sales, monkeypatch, forms):
    workdir, run, task, _, summary = sales
    return export.export_run(workdir, runs.read_config(workdir), run, summary, options=export.Options(forms), task=task)


def test_a_task_of_several_inputs_and_outputs_is_served_as_the_network_that_it_trained(sales, monkeypatch):
    _, _, task, network, _ = sales
    folder = pathlib.Path(sold(sales, monkeypatch, ('saved_model', 'tflite', 'ticket')))
    price, amount = network.predict([task.inputs['size_of'], task.inputs['day'], tf.constant(task.inputs['word'])],
                                   verbose=0)
    found = tf.saved_model.load(str(folder)).signatures['serving_default'](
        size_of=tf.constant(task.inputs['size_of'], tf.float32), day=tf.constant(task.inputs['day'], tf.int32),
        word=tf.constant(task.inputs['word']))
    np.testing.assert_allclose(found['price'], price, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found['sold'], amount, rtol=1e-4, atol=1e-5)
    about, score = json.loads((folder / 'ticket.json').read_text()), task.score({'price': price})
    assert about['test_rmse'] == pytest.approx(score, rel=1e-5)
    assert about['litert_rmse'] == {'tflite': pytest.approx(score, rel=1e-5)}
    assert about['rmse_over_replicates'] == {'dense': [0.5] * 3, 'ticket': [0.5] * 3}
    assert about['examples'] == 40 and about['test'] == 50
    assert about['predictions_changed'] == {}
    assert about['input'] == 'size_of: float32 [n, 3]; day: int32 [n, 1]; word: string [n, 2]'
    assert about['output'] == 'price: float32 [n, 1]; sold: float32 [n, 2]'
    assert not [key for key in about if 'early_stop' in key or 'accuracy' in key]
    assert f'On the first 40 of the 50 test examples: {score:.3f} €.' in (folder / 'README.md').read_text()
    assert tf_lottery.load_ticket(str(folder / 'rewound.ticket')).step == 5


def test_a_task_in_mixed_precision_is_exported_in_float32(sales, monkeypatch):
    _, _, task, network, _ = sales
    monkeypatch.setattr(task, 'policy', tf_keras.mixed_precision.Policy('mixed_bfloat16'))
    loaded = tf_lottery.load_model(sold(sales, monkeypatch, ('saved_model',)))
    assert loaded.get_layer('fc').compute_dtype == 'float32'
    inputs = [task.inputs['size_of'], task.inputs['day'], tf.constant(task.inputs['word'])]
    np.testing.assert_allclose(loaded.predict(inputs, verbose=0)[0], network.predict(inputs, verbose=0)[0], rtol=1e-4,
                               atol=1e-5)


def test_a_form_that_computes_another_output_is_no_export(sales, monkeypatch):
    convert = tflite.convert

    def spoilt(network):
        wrapper.variables(network)['sold/bias'].assign_add([0.1, 0.0])
        return convert(network)

    monkeypatch.setattr(tflite, 'convert', spoilt)
    with pytest.raises(ExportError, match="the form tflite does not compute .*: 'sold' differs by up to 0.1"):
        sold(sales, monkeypatch, ('tflite',))


def test_two_of_each_four_weights_are_so_in_every_file(tmp_path):
    model = tf_lottery.prunable(tf_keras.Sequential([
        layers.InputLayer((8, 8, 5)), layers.Conv2D(6, 3, name='conv'), layers.Flatten(), layers.Dense(3, name='fc')]))
    mask = wrapper.get_mask(model)
    mask = structure.find('2:4').keep(
        mask, {name: np.random.default_rng(0).random(array.size) for name, array in mask.items()},
        dict.fromkeys(mask, 0.5), 1)
    wrapper.set_mask(model, mask)
    forms = ('saved_model', 'tflite', 'tflite_sparse', 'tflite_int8')
    folder = pathlib.Path(tf_lottery.export(model, str(tmp_path / 'export'), forms, shrink=False))
    found = {'saved_model': [variable.numpy() for variable in tf.saved_model.load(str(folder)).variables
                             if 'kernel' in variable.name],
             **{form: tflite.weights((folder / FORMS[form]).read_bytes()) for form in forms[1:]}}
    for form, (conv, fc) in found.items():
        assert conv.shape == (3, 3, 5, 6) and fc.shape == (216, 3)
        for kernel in (conv, fc):
            assert pruning_utils.is_pruned_m_by_n(tf.constant(kernel), (2, 4))
            # Rounding may make more zeros.
            assert form == 'tflite_int8' or np.count_nonzero(kernel) == mask['conv/kernel' if kernel is conv else
                                                                           'fc/kernel'].sum()
