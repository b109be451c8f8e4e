"""Examples in memory: what is known of them without training on any."""

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.training.evaluation import Judge
from tf_lottery.training.feeds import MemoryFeed
from tf_lottery.training.trainer import Settings

SETTINGS = Settings(batch_size=2, optimizer='sgd', learning_rate=0.1, momentum=0.9, evaluate_every=6,
                    checkpoint_every=4, block=3, jit=False)


def arrays():
    """Training, validation and test examples: {split: (images, labels)}, of which no two are the same."""
    rng = np.random.default_rng(0)
    return {split: (rng.integers(0, 17, (size, 2, 2, 1), np.uint8), rng.integers(0, 10, size, np.int32))
            for split, size in (('train', 7), ('validation', 4), ('test', 5))}


def feed(examples):
    splits = {split: {'image': images, 'label': labels} for split, (images, labels) in examples.items()}
    return MemoryFeed(splits, SETTINGS, tf.distribute.get_strategy(), Judge())


def test_the_same_data_have_the_same_fingerprint():
    assert feed(arrays()).fingerprint() == feed(arrays()).fingerprint()


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
@pytest.mark.parametrize('part', [0, 1], ids=['images', 'labels'])
def test_a_single_value_changes_the_fingerprint(split, part):
    other = arrays()
    other[split][part].flat[-1] += 1
    assert feed(other).fingerprint() != feed(arrays()).fingerprint()


def test_the_order_of_the_data_and_what_they_are_for_change_the_fingerprint():
    shuffled, exchanged = arrays(), arrays()
    shuffled['train'] = tuple(array[::-1] for array in shuffled['train'])
    exchanged['validation'], exchanged['test'] = exchanged['test'], exchanged['validation']
    fingerprints = [feed(examples).fingerprint() for examples in (arrays(), shuffled, exchanged)]
    assert len(set(map(str, fingerprints))) == 3


def test_a_sample_is_of_the_first_training_examples():
    own = feed(arrays())
    images, labels = arrays()['train']
    for wish, given in ((1, 1), (6, 6), (7, 7), (100, 7)):
        sample = own.sample(wish)
        assert np.array_equal(sample['image'], images[:given])
        assert np.array_equal(sample['label'], labels[:given])


def test_what_is_drawn_is_from_everywhere_and_always_the_same():
    own, (images, labels) = feed(arrays()), arrays()['train']
    drawn = own.drawn(3)
    places = [next(place for place in range(7) if np.array_equal(images[place], image)) for image in drawn['image']]
    assert len(set(places)) == 3 and places != [0, 1, 2]
    assert np.array_equal(drawn['label'], labels[places])
    # More of them are these and others.
    assert np.array_equal(feed(arrays()).drawn(5)['image'][:3], drawn['image'])
    assert sorted(own.drawn(100)['label']) == sorted(labels)


def test_examples_and_the_steps_of_an_epoch():
    own = feed(arrays())
    # The seventh example is left over.
    assert (own.examples, own.steps_per_epoch, own.hosts, own.blocks) == (7, 3, 1, True)
