"""Halves of a data set, and images in another form."""

import numpy as np
import pytest

from tf_lottery import data
from tf_lottery.data import Form, Split
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config
from tf_lottery.tasks.images import ImageTask


def numbered(labels):
    """A Split whose images are their own numbers."""
    return Split(np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1), np.array(labels, np.int32))


def numbers(split):
    return split.images.ravel().tolist()


LABELS = [0] * 6 + [1] * 3 + [2] * 5


@pytest.mark.parametrize('seed', [0, 7])
def test_halves_are_disjoint_and_have_as_many_of_each_class(seed):
    train = numbered(LABELS)
    a, b = (Form(part, seed).halved(train) for part in 'ab')
    assert sorted(numbers(a) + numbers(b)) == list(range(14))
    counts = [np.bincount(half.labels).tolist() for half in (a, b)]
    assert counts == [[3, 2, 2], [3, 1, 3]]
    for half in (a, b):
        assert np.array_equal(half.labels, train.labels[numbers(half)])


def test_halves_are_functions_of_the_seed():
    train = numbered(LABELS)
    assert numbers(Form('a').halved(train)) == numbers(Form('a').halved(train))
    assert set(numbers(Form('a').halved(train))) != set(numbers(Form('a', 7).halved(train)))
    assert Form().halved(train) is train


def test_of_an_odd_number_one_example_is_in_neither():
    halves = [numbers(Form(part).halved(numbered([0, 1, 1, 1, 0]))) for part in 'ab']
    assert [len(half) for half in halves] == [2, 2]
    assert not set(halves[0]) & set(halves[1])


def test_half_of_the_digits(digits):
    whole, half = digits, data.load('digits', form=Form('b'))
    assert (len(half.train), len(half.validation), len(half.test)) == (548, 100, len(whole.test))
    settings = config.defaults()
    settings.data.name, settings.data.part = 'digits', 'b'
    task = ImageTask(settings)
    facts = task.facts()
    assert (facts.train, facts.validation, facts.test) == (548, 100, 500)
    assert facts.about == 'lenet_300_100 on digits, half b'


def test_grey_images_get_three_channels_and_another_size():
    images = np.zeros((2, 2, 2, 1), np.uint8)
    images[0, 0, 0, 0] = 200
    split = Split(images, np.array([0, 1], np.int32))
    coloured = Form(three_channels=True).shown(split)
    assert coloured.images.shape == (2, 2, 2, 3)
    assert coloured.images[0, 0, 0].tolist() == [200, 200, 200]
    larger = Form(image_size=4, three_channels=True).shown(split)
    assert larger.images.shape == (2, 4, 4, 3)
    assert larger.images.dtype == np.uint8
    # Bilinear: a quarter of the way between two pixels.
    assert larger.images[0, 0, :, 0].tolist() == [200, 150, 50, 0]
    assert np.array_equal(larger.labels, split.labels)
    smaller = Form(image_size=1).shown(split)
    assert smaller.images.ravel().tolist() == [50, 0]
    assert Form().shown(split) is split


def chosen(name='digits', **changes):
    settings = config.defaults()
    settings.data.name = name
    settings.data.update(changes)
    return data.chosen(settings.data)


def test_the_description_is_of_the_form():
    found = chosen(image_size=16, three_channels=True, part='a')
    assert found.shape == (16, 16, 3)
    assert (found.train, found.validation, found.test) == (648, 100, 500)
    assert chosen() == data.describe('digits')


@pytest.mark.parametrize(('name', 'changes', 'sentence'), [
    ('cifar10', {'three_channels': True}, 'data.three_channels is True, which is for grey images; those of cifar10 '
     'have 3 channels: leave it out.'),
    ('digits', {'part_seed': 3}, "data.part_seed is 3, which says what the halves of a data set are: leave it out, or "
     "give data.part='a' or 'b'."),
    ('mnist', {'image_size': 224}, 'data.image_size is 224, which makes 3.3 GiB of mnist, and what lies in memory has '
     'at most 2: give a smaller one.'),
    ('imagenet2012', {'part': 'a'}, 'data.part is a, which is for data sets that are in memory; imagenet2012 is '
     'streamed: leave it out.'),
    ('imagenet2012', {'three_channels': True}, 'data.three_channels is True, which is for data sets that are in '
     'memory; imagenet2012 is streamed: leave it out.')])
def test_what_has_no_such_form_is_refused(name, changes, sentence):
    with pytest.raises(UsageError) as error:
        chosen(name, **changes)
    assert str(error.value) == sentence
