"""Running text as numbers of words: what language models are trained and judged on.

A text is three files, DATA_DIR/NAME/{train,valid,test}.txt, or a data set of TFDS. Words stand between blanks, and each
line ends in the word `<eos>`, as in the papers on the Penn Treebank and on WikiText-2.
"""

import collections
import dataclasses
import hashlib

import numpy as np

from tf_lottery.data import catalogue
from tf_lottery.errors import UsageError
from tf_lottery.runtime import elsewhere, storage

# The end of a line, and what stands for every word that is not in the vocabulary.
END, UNKNOWN = '<eos>', '<unk>'

FILES = {'train': 'train.txt', 'validation': 'valid.txt', 'test': 'test.txt'}

# Where TFDS has no other text to validate on, one of so many training words.
_VALIDATION_SHARE = 10


@dataclasses.dataclass(frozen=True)
class Published:
    """What is known of a published text, whose files are got by hand.

    Attributes:
      vocabulary: int, its different words, `<eos>` and `<unk>` among them.
      train, validation, test: int, words, with an `<eos>` for each line.
      origin: str, where a user has it from.
    """

    vocabulary: int
    train: int
    validation: int
    test: int
    origin: str


PUBLISHED = {
    # Mikolov et al. 2010: 10,000 words, numbers as N.
    'ptb': Published(10_000, 929_589, 73_760, 82_430, "ptb.train.txt, ptb.valid.txt and ptb.test.txt of Mikolov's "
                     'simple-examples.tgz'),
    # Merity et al. 2016 (1609.07843), Table 1. Blank lines are lines.
    'wikitext2': Published(33_278, 2_088_628, 217_646, 245_569, 'wiki.train.tokens, wiki.valid.tokens and '
                           'wiki.test.tokens of wikitext-2-v1.zip'),
}


@dataclasses.dataclass(frozen=True)
class Size:
    """What a network has to know of a text.

    Attributes:
      vocabulary: int, the numbers of words.
      train, validation, test: int, words.
      digest: str, the SHA-256 of the text; '' where it is known by its published numbers and not there.
    """

    vocabulary: int
    train: int
    validation: int
    test: int
    digest: str = ''


@dataclasses.dataclass(frozen=True)
class Text:
    """A text as numbers of words.

    Attributes:
      words: tuple of str, the vocabulary in the order of the numbers: the most frequent word of the training text
        first, equally frequent ones by their letters.
      train, validation, test: int32 arrays [words].
      digest: str, the SHA-256 of the text.
    """

    words: tuple
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    digest: str

    @property
    def size(self):
        return Size(len(self.words), len(self.train), len(self.validation), len(self.test), self.digest)

    @property
    def end(self):
        """int, the number of `<eos>`."""
        return self.words.index(END)


def size(name, vocabulary=None, share=1.0, data_dir=None):
    """Returns the Size of what `load` returns, without TensorFlow in this process.

    Args, Raises: as of `load`; of a published text that is not there the published numbers are taken.
    """
    if name.startswith(catalogue.PREFIX):
        return Size(**elsewhere.call(f'{__name__}:_measured', name, vocabulary, share, data_dir))
    known = PUBLISHED.get(name)
    if known and not storage.exists(_folder(name, data_dir)):
        _check_vocabulary(name, vocabulary, known.vocabulary)
        return Size(vocabulary or known.vocabulary, _part(known.train, share), known.validation, known.test)
    return load(name, vocabulary, share, data_dir).size


def _measured(*arguments):
    return dataclasses.asdict(load(*arguments).size)


def load(name, vocabulary=None, share=1.0, data_dir=None):
    """Reads a text.

    Args:
      name: str, a folder below `data_dir`, of which those in PUBLISHED are compared with what is known of them; or
        'tfds:NAME/CONFIG:VERSION', where CONFIG and VERSION may be left out.
      vocabulary: int, how many words there are, the most frequent ones of the training text, `<eos>` and `<unk>` always
        among them; all others are `<unk>`. None for all.
      share: float in (0, 1], how much of the training text there is, from its start; words are counted in all of it.
      data_dir: the folder of texts, and of TFDS's data sets; None for `TFDS_DATA_DIR`, else TFDS's default folder.

    Returns:
      Text.

    Raises:
      UsageError: there is no such text, it is another one than the published one of its name, it has no words, or
        fewer than the vocabulary.
    """
    lines = _of_tfds(name, data_dir) if name.startswith(catalogue.PREFIX) else _of_folder(name, data_dir)
    digest = hashlib.sha256()
    for content in lines.values():
        digest.update(hashlib.sha256('\n'.join(content).encode()).digest())
    splits = {split: [word for line in content for word in (*line.split(), END)] for split, content in lines.items()}
    counts = collections.Counter(splits['train'])
    counts.update({END: 0, UNKNOWN: 0})
    _check_published(name, len(counts), splits, data_dir)
    _check_vocabulary(name, vocabulary, len(counts))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    if vocabulary:
        always = {END, UNKNOWN}
        kept = always | set([word for word in ranked if word not in always][:vocabulary - len(always)])
        ranked = [word for word in ranked if word in kept]
    numbers = {word: number for number, word in enumerate(ranked)}
    unknown = numbers[UNKNOWN]
    found = {split: np.array([numbers.get(word, unknown) for word in words], np.int32)
             for split, words in splits.items()}
    return Text(tuple(ranked), found['train'][:_part(len(found['train']), share)], found['validation'], found['test'],
                digest.hexdigest())


def _part(words, share):
    return max(1, int(share * words))


def _folder(name, data_dir):
    return storage.join(catalogue.root(data_dir), name)


def _of_folder(name, data_dir):
    """{split: list of lines} of three files."""
    folder, lines = _folder(name, data_dir), {}
    for split, file in FILES.items():
        path = storage.join(folder, file)
        if not storage.exists(path):
            origin = f' ({PUBLISHED[name].origin})' if name in PUBLISHED else ''
            raise UsageError(f'{path} is not there: put the text{origin} there as {", ".join(FILES.values())}, or give '
                             f'--data_dir a folder that holds {name}.')
        content = storage.read_text(path)
        if not content.strip():
            raise UsageError(f'{path} has no words: put a text there.')
        lines[split] = content.removesuffix('\n').split('\n')
    return lines


def _of_tfds(name, data_dir):
    """{split: list of lines} of a data set with a feature `text`."""
    import tensorflow_datasets as tfds

    source = catalogue.known(name, data_dir)
    if 'text' not in source.info.features:
        raise UsageError(f'{name} has the features {", ".join(source.info.features)}: choose a data set that has one '
                         'called text.')
    catalogue.prepare(source, name.removeprefix(catalogue.PREFIX))
    if not {'train', 'test'} <= set(source.info.splits):
        raise UsageError(f'{name} has the splits {", ".join(source.info.splits)}: choose a data set that has train and '
                         'test.')

    def read(split):
        examples = tfds.as_numpy(source.as_dataset(split=split, shuffle_files=False))
        return [line for example in examples for line in example['text'].decode().removesuffix('\n').split('\n')]

    train, test = read('train'), read('test')
    if 'validation' in source.info.splits:
        return {'train': train, 'validation': read('validation'), 'test': test}
    held_out = max(1, len(train) // _VALIDATION_SHARE)
    return {'train': train[:-held_out], 'validation': train[-held_out:], 'test': test}


def _check_published(name, vocabulary, splits, data_dir):
    """Refuses another text under the name of a published one."""
    known = PUBLISHED.get(name)
    if not known:
        return
    found = {'different words': (vocabulary, known.vocabulary),
             **{f'words in {FILES[split]}': (len(words), getattr(known, split)) for split, words in splits.items()}}
    for what, (here, published) in found.items():
        if here != published:
            raise UsageError(f'{_folder(name, data_dir)} has {here:,} {what}, but {name} as published has '
                             f'{published:,}: put {known.origin} there, or choose another name for the folder.')


def _check_vocabulary(name, vocabulary, there):
    if vocabulary and vocabulary > there:
        raise UsageError(f'language_model.vocabulary is {vocabulary}, and {name} has {there} different words: give as '
                         'many or fewer, or leave it out.')
