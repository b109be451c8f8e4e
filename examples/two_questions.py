"""Two inputs, two outputs: which digit an image shows, and which of two is the larger (scikit-learn's digits).

    python examples/two_questions.py
"""

import numpy as np
import sklearn.datasets
import tf_keras

import tf_lottery


def build(seed):
    """Both images go through the same layers; the second output sees what these make of both."""
    left, right = (tf_keras.Input((64,), name=name) for name in ('left', 'right'))
    trunk = tf_keras.Sequential([tf_keras.layers.Dense(100, 'relu', input_shape=(64,)),
                                 tf_keras.layers.Dense(50, 'relu')], name='trunk')
    both = tf_keras.layers.Concatenate(name='both')([trunk(left), trunk(right)])
    model = tf_keras.Model([left, right], {
        'digit': tf_keras.layers.Dense(10, name='digit')(trunk(left)),
        'larger': tf_keras.layers.Dense(1, 'sigmoid', name='larger')(both)}, name='two_questions')
    model.compile(
        'adam', {'digit': tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), 'larger': 'bce'},
        loss_weights={'digit': 1.0, 'larger': 0.5}, metrics={'digit': 'accuracy', 'larger': tf_keras.metrics.AUC()})
    return model


def examples():
    """Pairs of images: of those below 1,300 to train, of the others to test on."""
    digits, rng = sklearn.datasets.load_digits(), np.random.default_rng(0)
    pixels = (digits.data / 16).astype(np.float32)

    def pairs(low, high, count):
        left, right = rng.integers(low, high, (2, count))
        return ({'left': pixels[left], 'right': pixels[right]},
                {'digit': digits.target[left], 'larger': digits.target[left] > digits.target[right]})

    return {'train': pairs(0, 1300, 5000), 'validation': pairs(1300, 1500, 500), 'test': pairs(1500, 1797, 1000)}


task = tf_lottery.KerasTask(build, examples)

if __name__ == '__main__':
    tf_lottery.run(
        task, 'runs/two_questions', length='1000it', batch_size=60, levels=5, fraction=0.4, rewind_to='50it',
        branches=('ticket', 'random_reinit', 'random_mask'), replicates=2)
