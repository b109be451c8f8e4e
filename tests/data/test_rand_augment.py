"""RandAugment: KerasCV's operations, each image a function of its seed."""

import numpy as np
import pytest
import tensorflow as tf
from keras_cv import layers

from tf_lottery.data.rand_augment import RandAugment

IMAGE = np.random.default_rng(0).integers(0, 200, (4, 4, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)


@pytest.fixture(scope='module')
def augmented():
    """A pipeline of one augmentation, and what it makes of the seeds 0 to 79."""
    augment = RandAugment(1, 0.5)

    def drawn(numbers, parallel=2):
        seeds = tf.data.Dataset.from_tensor_slices(tf.constant(list(numbers), tf.int64))
        images = seeds.map(lambda number: augment(tf.constant(IMAGE), tf.stack([tf.constant(7, tf.int64), number])),
                           num_parallel_calls=parallel)
        assert images.element_spec == tf.TensorSpec(IMAGE.shape, tf.uint8)
        return np.stack(list(images.as_numpy_iterator()))

    return drawn, drawn(range(80))


def test_the_seed_decides_and_nothing_that_came_before(augmented):
    drawn, images = augmented
    tf.random.uniform([])
    assert np.array_equal(drawn(range(80), parallel=None), images)
    assert np.array_equal(drawn([50, 3, 9]), images[[50, 3, 9]])


def test_the_operations_are_keras_cvs_and_some_images_have_none(augmented):
    _, images = augmented
    drawn = [image.tobytes() for image in images]
    # Two of the ten operations have no magnitude, so that what they make is known: each is about every eleventh.
    for layer in (layers.AutoContrast((0, 255)), layers.Equalization((0, 255))):
        expected = np.round(layer(IMAGE[None].astype(np.float32))[0]).astype(np.uint8)
        assert 1 <= drawn.count(expected.tobytes()) <= 20 and not np.array_equal(expected, IMAGE)
    assert 1 <= drawn.count(IMAGE.tobytes()) <= 25
    # The others have magnitudes of their own each time, and some of them move what is in the image.
    assert len(set(drawn)) > 40
    moved = [np.ptp(image.reshape(4, 8, 4, 8, 3).astype(int), axis=(1, 3)).max() > 0 for image in images]
    assert 0.15 < np.mean(moved) < 0.6
