"""A text classifier: which of scikit-learn's data sets twelve words of their descriptions are about.

    python examples/which_data_set.py
"""

import re

import numpy as np
import sklearn.datasets
import tf_keras

import tf_lottery

NAMES = ('breast_cancer', 'diabetes', 'digits', 'iris', 'linnerud', 'wine')
WORDS, VOCABULARY = 12, 1000


def build(seed):
    """Word numbers to logits: 0 stands for no word, and is masked."""
    words = tf_keras.Input((WORDS,), dtype='int32', name='words')
    x = tf_keras.layers.Embedding(VOCABULARY, 16, mask_zero=True)(words)
    x = tf_keras.layers.LSTM(32, dropout=0.2)(x)
    model = tf_keras.Model(words, tf_keras.layers.Dense(len(NAMES))(x), name='reader')
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(5e-3), loss, metrics=['accuracy'])
    return model


def examples():
    """Windows of each text: the last fifth of it is tested on, what comes before is trained on."""
    texts = [re.findall('[a-z]+', getattr(sklearn.datasets, f'load_{name}')().DESCR.lower()) for name in NAMES]
    numbers = {word: 1 + place for place, word in enumerate(sorted({word for text in texts for word in text}))}
    splits = {'train': ([], []), 'test': ([], [])}
    for label, text in enumerate(texts):
        for start in range(0, len(text) - WORDS, 2):
            inputs, labels = splits['test' if start >= 0.8 * len(text) else 'train']
            inputs.append([numbers[word] % VOCABULARY for word in text[start:start + WORDS]])
            labels.append(label)
    return {name: (np.array(inputs), np.array(labels)) for name, (inputs, labels) in splits.items()}


task = tf_lottery.KerasTask(build, examples)

if __name__ == '__main__':
    tf_lottery.run(
        task, 'runs/which_data_set', length='400it', batch_size=32, levels=5, fraction=0.4, rewind_to='20it',
        branches=('ticket', 'random_reinit', 'random_mask'), replicates=2)
