"""The form in which a data set in memory is taken: one half of its training examples, other pixels, other channels.

Morcos et al. (1906.02773) take each half of CIFAR-10's training set for a data set of its own, and give grey images the
three channels and the size of others, so that one network is trained on all.
"""

import dataclasses

import numpy as np

PARTS = ('a', 'b')


@dataclasses.dataclass(frozen=True)
class Form:
    """What becomes of a data set.

    Attributes:
      part: 'a' or 'b', one of the halves of the training examples; None for all.
      part_seed: int, which halves these are.
      image_size: int, the side of the squares that images are resized to; None for their own size.
      three_channels: bool, whether grey images are made into three equal channels.
    """

    part: str | None = None
    part_seed: int = 0
    image_size: int | None = None
    three_channels: bool = False

    def described(self, description):
        """The Description of a data set in this form, of that of the data set itself."""
        height, width, channels = description.shape
        shape = (self.image_size or height, self.image_size or width, 3 if self.three_channels else channels)
        if self.part is None:
            return dataclasses.replace(description, shape=shape)
        return dataclasses.replace(description, shape=shape, train=description.train // 2,
                                   validation=max(1, description.validation // 2))

    def halved(self, train):
        """The half of the training examples that it takes of a Split.

        The halves are disjoint, equally large, and have as many examples of each class; of a class of an odd number
        one of them has one more.
        """
        if self.part is None:
            return train
        order = np.random.default_rng(self.part_seed).permutation(len(train))
        by_class = order[np.argsort(train.labels[order], kind='stable')]
        return train.take(by_class[PARTS.index(self.part)::2][:len(train) // 2])

    def shown(self, split):
        """A Split with its images in this form."""
        if self.image_size is None and not self.three_channels:
            return split
        images = split.images
        if self.three_channels:
            images = np.repeat(images, 3, axis=-1)
        if self.image_size:
            images = _resized(images, self.image_size)
        return dataclasses.replace(split, images=images)


# Images are resized so many at a time, in float32.
_AT_ONCE = 1000


def _resized(images, side):
    """uint8 images [n, side, side, channels], resized bilinearly, where they shrink with a wider filter."""
    import tensorflow as tf

    resized = np.empty((len(images), side, side, images.shape[-1]), np.uint8)
    for start in range(0, len(images), _AT_ONCE):
        few = tf.image.resize(images[start:start + _AT_ONCE], (side, side), antialias=True)
        resized[start:start + _AT_ONCE] = np.rint(few.numpy()).clip(0, 255)
    return resized
