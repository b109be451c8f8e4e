"""Numbers in German and in English: pairs of sentences that a small network learns to translate."""

import numpy as np

from tf_lottery.experiment import config

WORDS = {'eins': 'one', 'zwei': 'two', 'drei': 'three', 'vier': 'four', 'acht': 'eight'}
COUNTS = {'train': 96, 'val': 24, 'test': 16}


def write(folder):
    """Writes text files of 96, 24 and 16 pairs of one to seven words each to a pathlib.Path."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        sentences = [[str(word) for word in rng.choice(list(WORDS), rng.integers(1, 8))] for _ in range(count)]
        for language, spoken in (('de', dict(zip(WORDS, WORDS, strict=True))), ('en', WORDS)):
            lines = [' '.join(spoken[word] for word in sentence) for sentence in sentences]
            (folder / f'{split}.{language}').write_text('\n'.join(lines) + '\n')


def settings(**changes):
    """The config of a network of 8 units on what `write` wrote into a folder `numbers`, with `__` for a dot."""
    found = config.defaults()
    found.update_from_flattened_dict({
        'task': 'translation', 'translation.data': 'numbers', 'translation.vocabulary': 40, 'translation.layers': 1,
        'translation.width': 8, 'translation.heads': 2, 'translation.feed_forward': 16, 'translation.buckets': 2,
        'training.batch_size': 16, 'training.length': '8it', 'training.learning_rate': 0.01,
        'training.label_smoothing': 0.1, 'training.evaluate_every': '4it', 'training.checkpoint_every': '2it',
        'pruning.levels': 1, 'pruning.rewind_to': '1it', 'replicates': 1,
        **{key.replace('__', '.'): value for key, value in changes.items()}})
    return found
