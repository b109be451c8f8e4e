"""A small text whose next word can be learned, as a language model's folder has it."""

import random

from tf_lottery.experiment import config

WORDS = 20


def write(folder, sentences=(60, 12, 15)):
    """Writes train.txt, valid.txt and test.txt into a new folder, with so many sentences."""
    folder.mkdir(parents=True)
    rng = random.Random(0)
    for name, count in zip(('train', 'valid', 'test'), sentences, strict=True):
        lines = []
        for _ in range(count):
            words = [rng.randrange(WORDS)]
            while len(words) < rng.randint(3, 8):
                words.append((3 * words[-1] + rng.randrange(2)) % WORDS)
            lines.append(''.join(f' w{word}' for word in words) + ' \n')
        (folder / f'{name}.txt').write_text(''.join(lines))


def settings(**changes):
    """A config of a small language model of the text 'tiny'; `changes` are keys with `__` for a dot."""
    found = config.defaults()
    found.update_from_flattened_dict({
        'name': 'tiny', 'task': 'language_model', 'language_model.data': 'tiny', 'language_model.units': 6,
        'language_model.steps': 5, 'language_model.dropout': 0.2, 'language_model.initial': 0.3,
        'training.batch_size': 4, 'training.length': '2ep', 'training.learning_rate': 1e-2,
        'training.evaluate_every': '1ep', 'training.checkpoint_every': '4it', 'training.block': 3,
        'pruning.levels': 1, 'pruning.scope': 'global', 'pruning.variables': 'all', 'pruning.rewind_to': '7it',
        'replicates': 1, **{key.replace('__', '.'): value for key, value in changes.items()}})
    return found
