"""What is known of a data set, and the examples of one in memory."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Description:
    """A data set, known without loading it.

    Attributes:
      train, test: int, examples in each split as published (the validation set is taken from `train`).
      shape: (height, width, channels), of what networks see.
      classes: int.
      brightest: the pixel value that becomes 1.0.
      validation: int, the size of the validation set in the papers' protocol.
      tfds: its name in TFDS, where that is another one.
      streamed: bool, whether it is read from its files (`streaming`) as it is needed, instead of memory.
      varying: bool, whether its images are of different sizes: crops of them are resized, to a chosen number of pixels.
      splits: (str, str), the splits in TFDS to train on, validation set included, and to test on.
      features: (str, str), what image and label are called there.
      folder: str, the folder of its files, where they have been found already.
    """

    train: int
    test: int
    shape: tuple
    classes: int
    brightest: int
    validation: int
    tfds: str | None = None
    streamed: bool = False
    varying: bool = False
    splits: tuple = ('train', 'test')
    features: tuple = ('image', 'label')
    folder: str | None = None


@dataclasses.dataclass(frozen=True)
class Split:
    """Images uint8 [n, height, width, channels] and labels int32 [n]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    def take(self, indices):
        return Split(self.images[indices], self.labels[indices])


@dataclasses.dataclass(frozen=True)
class Splits:
    """What an experiment reads: training, validation and test examples."""

    train: Split
    validation: Split
    test: Split
