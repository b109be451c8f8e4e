"""Tickets as SavedModels."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from test_experiment import experiment

from tf_lottery import export, runs, storage
from tf_lottery.errors import UsageError


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    done = experiment(tmp_path_factory.mktemp('export'), ('ticket',), 2)
    done.run()
    return done


def written(done, weights, level=2):
    stored = runs.read_config(done.workdir)
    return export.export(done.workdir, stored, runs.Run(0, level, 'ticket'), weights, command='python main.py')


@pytest.mark.parametrize('weights', ['trained', 'rewound'])
def test_the_model_in_a_fresh_process_is_the_ticket(done, weights, tmp_path):
    folder = written(done, weights)
    images = np.random.default_rng(0).integers(0, 17, (3, 8, 8, 1)).astype('float32')
    np.save(tmp_path / 'images.npy', images)
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


def test_pruned_weights_are_exact_zeros(done):
    model = tf.saved_model.load(written(done, 'trained'))
    zeros = {variable.name: int(np.sum(variable.numpy() == 0)) for variable in model.variables
             if 'kernel' in variable.name}
    assert zeros == {'fc1/kernel:0': 19200 - 12288, 'fc2/kernel:0': 30000 - 19200, 'output/kernel:0': 1000 - 810}


def test_the_metadata_say_which_is_which(done):
    trained = json.loads((pathlib.Path(written(done, 'trained')) / 'ticket.json').read_text())
    rewound = json.loads((pathlib.Path(written(done, 'rewound')) / 'ticket.json').read_text())
    assert trained['what'] == 'the ticket trained to the end, step 60'
    assert rewound['what'] == 'the ticket as it starts, rewound to step 20: train it before use'
    result = storage.read_json(done.path(runs.Run(0, 2, 'ticket'), 'result.json'))
    assert trained['test_accuracy'] == pytest.approx(result['final_test_accuracy'])
    assert trained['kept'] == rewound['kept'] == result['kept'] == 12288 + 19200 + 810
    assert trained['config']['data']['name'] == 'digits' and trained['command'] == 'python main.py'


def test_a_model_that_does_not_load_back_equal_is_no_export(done, monkeypatch):
    load = tf.saved_model.load

    def spoilt(folder):
        model = load(folder)
        next(variable for variable in model.variables if 'fc2/kernel' in variable.name).assign_add(
            np.full((300, 100), 1e-7, 'float32'))
        return model

    monkeypatch.setattr(tf.saved_model, 'load', spoilt)
    with pytest.raises(RuntimeError, match='does not hold the weights of fc2/kernel'):
        written(done, 'trained', level=1)
    assert not (pathlib.Path(done.workdir) / 'export' / 'replicate_0_level_01_trained').exists()


def test_a_level_that_is_not_there_is_told(done):
    with pytest.raises(UsageError, match='level_07/ticket has not finished: choose another --level or --replicate'):
        written(done, 'trained', level=7)
