"""Sentences in two languages: text files side by side, a line each, or WMT'14 of TFDS."""

import dataclasses

from tf_lottery.data import catalogue
from tf_lottery.errors import UsageError, shown
from tf_lottery.runtime import storage

# What the files of each split may be called; the first that is there is taken.
_FILES = {'train': ('train',), 'validation': ('val', 'valid', 'validation', 'dev'),
          'test': ('test', 'test_2016_flickr')}


@dataclasses.dataclass(frozen=True)
class Description:
    """What is known of a set of pairs.

    Attributes:
      train, validation, test: int, pairs.
      source_words, target_words: float, words of a training sentence, by spaces, on average.
    """

    train: int
    validation: int
    test: int
    source_words: float
    target_words: float


# What was published, by name and languages: a plan needs none of the text.
PUBLISHED = {
    # Elliott et al. 2016 (1605.00459), task 1.
    ('multi30k', 'de', 'en'): Description(29_000, 1_014, 1_000, 11.1, 11.9),
    ('multi30k', 'en', 'de'): Description(29_000, 1_014, 1_000, 11.9, 11.1),
    # In TFDS, wmt14_translate/de-en: 1.36 GB of text, newstest2013 and newstest2014 among it.
    ('wmt14', 'en', 'de'): Description(4_508_785, 3_000, 3_003, 25.0, 23.5),
    ('wmt14', 'de', 'en'): Description(4_508_785, 3_000, 3_003, 23.5, 25.0),
}
_OF_TFDS = {'wmt14': 'wmt14_translate/de-en'}


def describe(name, languages, data_dir=None):
    """Returns the Description of a set of pairs, of one that was not published by reading it.

    Args:
      name: str, as in `load`.
      languages: (str, str), source and target.
      data_dir: as in `load`.

    Raises:
      UsageError: as of `load`.
    """
    if (name, *languages) in PUBLISHED:
        return PUBLISHED[name, *languages]
    pairs = load(name, languages, data_dir)
    return Description(*(len(source) for source, _ in pairs.values()), *(
        sum(len(line.split()) for line in lines) / len(lines) for lines in pairs['train']))


def load(name, languages, data_dir=None):
    """Reads the pairs of each split.

    Args:
      name: 'wmt14', or a folder below `data_dir` that holds `train`, `val` and `test`, each in two text files that end
        in the languages, such as train.de and train.en: a sentence a line, UTF-8, as it is written.
      languages: (str, str), source and target.
      data_dir: the folder of data sets; None for `TFDS_DATA_DIR`, else TFDS's default folder.

    Returns:
      {'train', 'validation' and 'test': (source, target)}, each a list of str.

    Raises:
      UsageError: there are no such files, they do not go together, or a data set of TFDS cannot be fetched.
      StorageError: the folder cannot be reached.
    """
    if name in _OF_TFDS:
        return _of_tfds(name, languages, data_dir)
    folder = storage.join(catalogue.root(data_dir), name)
    return {split: _read(folder, split, languages) for split in _FILES}


def _read(folder, split, languages):
    names = [next((name for name in (f'{stem}.{language}' for stem in _FILES[split])
                   if storage.exists(storage.join(folder, name))), None) for language in languages]
    for found, language in zip(names, languages, strict=True):
        if found is None:
            raise UsageError(f'{folder} has no {_FILES[split][0]}.{language}, the sentences of the {split} split: put '
                             'them there, one a line, or say with --data_dir which folder it is in.')
    source, target = (storage.read_text(storage.join(folder, name)).removesuffix('\n').split('\n') for name in names)
    if len(source) != len(target):
        raise UsageError(f'{names[0]} in {folder} has {len(source)} lines and {names[1]} {len(target)}: let line after '
                         'line be a pair.')
    return source, target


def _of_tfds(name, languages, data_dir):
    import tensorflow as tf

    if set(languages) != {'de', 'en'}:
        raise UsageError(f'translation.data is {shown(name)}, which is of de and en: give these as '
                         'translation.source and translation.target.')
    name = _OF_TFDS[name]
    source = catalogue.fetched(name, data_dir)
    try:
        return {split: tuple(map(list, zip(*(
            tuple(pair[language].decode() for language in languages)
            for pair in source.as_dataset(split).as_numpy_iterator()), strict=True))) for split in _FILES}
    except (tf.errors.OpError, KeyError) as error:
        raise UsageError(f'{name} in {source.data_dir} is damaged ({type(error).__name__}): delete the folder, and run '
                         'the same command again.') from error
