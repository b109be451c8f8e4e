"""Pairs of sentences from text files, and their sub-words."""

import fake_pairs
import numpy as np
import pytest

from tf_lottery.data import subwords, text_pairs
from tf_lottery.errors import UsageError

DE_EN = ('de', 'en')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    fake_pairs.write(folder / 'numbers')
    return folder


def test_lines_are_pairs(folder):
    pairs = text_pairs.load('numbers', DE_EN, str(folder))
    assert {split: len(source) for split, (source, _) in pairs.items()} == {'train': 96, 'validation': 24, 'test': 16}
    source, target = pairs['validation']
    assert [' '.join(fake_pairs.WORDS[word] for word in line.split()) for line in source] == target


def test_other_text_is_described_by_reading_it_and_published_text_without(folder):
    known = text_pairs.describe('numbers', DE_EN, str(folder))
    assert (known.train, known.validation, known.test) == (96, 24, 16)
    assert known.source_words == known.target_words
    assert text_pairs.describe('wmt14', ('en', 'de')).train == 4_508_785


def test_what_is_missing_is_named(folder):
    with pytest.raises(UsageError, match=r'numbers has no train\.fr, the sentences of the train split'):
        text_pairs.load('numbers', ('de', 'fr'), str(folder))
    with pytest.raises(UsageError, match='which is of de and en'):
        text_pairs.load('wmt14', ('fr', 'en'))


def test_files_of_different_lengths_are_refused(tmp_path):
    fake_pairs.write(tmp_path / 'numbers')
    (tmp_path / 'numbers' / 'test.en').write_text('one\n')
    with pytest.raises(UsageError, match=r'test\.de in .*numbers has 16 lines and test\.en 1'):
        text_pairs.load('numbers', DE_EN, str(tmp_path))


def test_text_comes_back_from_its_subwords(folder):
    lines = text_pairs.load('numbers', DE_EN, str(folder))['train'][0]
    model = subwords.learn(lines, 30)
    assert model == subwords.learn(lines, 30)
    found = subwords.SubWords(model)
    encoded = found.encode(lines)
    assert all(row[-1] == subwords.END and np.count_nonzero(row == subwords.END) == 1 for row in encoded)
    assert found.decode(encoded) == lines
    # What comes after the end is no text.
    assert found.decode([[*encoded[0], 0, 9, 9]]) == lines[:1]


def test_a_vocabulary_that_the_text_has_not_is_refused():
    with pytest.raises(UsageError, match=r'translation\.vocabulary is 5000'):
        subwords.learn(['eins zwei'] * 10, 5000)
