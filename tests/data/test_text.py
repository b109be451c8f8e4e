"""Texts: which words there are, how they are numbered, and which folders are refused."""

import hashlib

import numpy as np
import pytest

from tf_lottery.data import text
from tf_lottery.errors import UsageError


def write(folder, train, valid='a\n', test='b\n'):
    folder.mkdir(parents=True)
    for name, content in (('train', train), ('valid', valid), ('test', test)):
        (folder / f'{name}.txt').write_text(content)
    return str(folder.parent)


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / 'own', ' b a b \n\nb c <unk>\na', 'c d\n', 'a b')


def read(found, split):
    return [found.words[number] for number in getattr(found, split)]


def test_words_are_numbered_by_how_often_they_come_and_lines_end_in_a_word(root):
    found = text.load('own', data_dir=root)
    # Four lines; equally frequent words by their letters.
    assert found.words == ('<eos>', 'b', 'a', '<unk>', 'c')
    assert read(found, 'train') == ['b', 'a', 'b', '<eos>', '<eos>', 'b', 'c', '<unk>', '<eos>', 'a', '<eos>']
    assert read(found, 'validation') == ['c', '<unk>', '<eos>']
    assert read(found, 'test') == ['a', 'b', '<eos>']
    assert found.train.dtype == np.int32
    assert found.end == 0
    assert found.size == text.size('own', data_dir=root) == text.Size(5, 11, 3, 3, found.digest)


def test_vocabulary_is_cut_to_the_most_frequent_words(root):
    found = text.load('own', 4, data_dir=root)
    assert found.words == ('<eos>', 'b', 'a', '<unk>')
    assert read(found, 'train') == ['b', 'a', 'b', '<eos>', '<eos>', 'b', '<unk>', '<unk>', '<eos>', 'a', '<eos>']


def test_share_of_the_training_text_is_its_start_and_words_are_counted_in_all_of_it(root):
    found = text.load('own', share=0.5, data_dir=root)
    assert read(found, 'train') == ['b', 'a', 'b', '<eos>', '<eos>']
    assert len(found.words) == 5
    assert found.digest == text.load('own', data_dir=root).digest


def test_digest_is_of_every_file(root, tmp_path):
    digests = {text.load('own', data_dir=root).digest}
    for number, name in enumerate(text.FILES.values()):
        path = tmp_path / 'own' / name
        path.write_text(path.read_text() + 'a\n')
        digests.add(text.load('own', data_dir=root).digest)
        assert len(digests) == number + 2
    assert all(len(digest) == len(hashlib.sha256().hexdigest()) for digest in digests)


def test_published_text_is_known_without_its_files(tmp_path):
    assert text.size('ptb', data_dir=str(tmp_path)) == text.Size(10_000, 929_589, 73_760, 82_430)
    assert text.size('wikitext2', 500, 0.25, str(tmp_path)) == text.Size(500, 522_157, 217_646, 245_569)


@pytest.mark.parametrize(('name', 'vocabulary', 'sentence'), [
    ('ptb', None, 'has 3 different words, but ptb as published has 10,000: put ptb.train.txt, ptb.valid.txt and '
     "ptb.test.txt of Mikolov's simple-examples.tgz there, or choose another name for the folder."),
    ('own', 6, 'language_model.vocabulary is 6, and own has 5 different words: give as many or fewer, or leave it '
     'out.'),
    ('none', None, 'none/train.txt is not there: put the text there as train.txt, valid.txt, test.txt, or give '
     '--data_dir a folder that holds none.'),
    ('empty', None, 'empty/test.txt has no words: put a text there.')])
def test_refused(root, tmp_path, name, vocabulary, sentence):
    if name == 'ptb':
        write(tmp_path / 'ptb', 'a\n')
    if name == 'empty':
        write(tmp_path / 'empty', 'a\n', test=' \n')
    with pytest.raises(UsageError) as error:
        text.size(name, vocabulary, data_dir=root)
    assert str(error.value).endswith(sentence)


def test_vocabulary_of_a_published_text_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match='language_model.vocabulary is 10001, and ptb has 10000 different words'):
        text.size('ptb', 10_001, data_dir=str(tmp_path))


def test_text_of_tfds(tmp_path):
    import tensorflow_datasets as tfds

    class Lines(tfds.core.GeneratorBasedBuilder):
        """Lines of text, without a validation split."""

        VERSION = tfds.core.Version('1.0.0')

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
                'text': tfds.features.Text()}), disable_shuffling=True)

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in ('train', 'test')}

        def _generate_examples(self, split):
            # A line of ten validates.
            yield from ((number, {'text': 'a b' if split == 'train' else 'b\nc'}) for number in range(20))

    Lines(data_dir=str(tmp_path)).download_and_prepare()
    found = text.load('tfds:lines', data_dir=str(tmp_path))
    assert read(found, 'train') == ['a', 'b', '<eos>'] * 18
    assert read(found, 'validation') == ['a', 'b', '<eos>'] * 2
    assert read(found, 'test') == ['b', '<eos>', '<unk>', '<eos>'] * 20
    # In another process, so that TensorFlow has not begun in this one.
    assert text.size('tfds:lines', data_dir=str(tmp_path)) == found.size
