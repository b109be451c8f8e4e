"""What is exported."""

import dataclasses
import functools

import numpy as np
import tf_keras

from tf_lottery.ticket import Mask, Ticket


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network with exact zeros, and the examples that its forms are verified on.

    Attributes:
      network: Keras model of one input and one output, without wrappers.
      mask: Mask over its prunable weights.
      weights: mapping from the name of each variable to a numpy array, as `wrapper.get_weights` gives them.
      examples: array [n, ...], as a user has them: uint8 images, or float32 inputs of the network.
      labels: int array [n], the classes of the examples, or None where they are not known.
      brightest: int, the pixel value that becomes 1.0; None where `examples` are the network's own inputs.
      calibration: float32 array [n, ...], inputs of the network, whose ranges int8 takes.
      ticket: Ticket as it starts, or None.
      about: dict that JSON can hold, how the ticket is trained, or None.
    """

    network: tf_keras.Model
    mask: Mask
    weights: dict
    examples: np.ndarray
    labels: np.ndarray | None = None
    brightest: int | None = None
    calibration: np.ndarray | None = None
    ticket: Ticket | None = None
    about: dict | None = None

    @property
    def inputs(self):
        """float32 array [n, ...], the examples as the network takes them."""
        return normalised(self.examples, self.brightest)

    @functools.cached_property
    def outputs(self):
        """float array [n, ...], what the network in memory makes of the examples."""
        return self.network.predict(self.inputs, batch_size=1000, verbose=0)

    def accuracy(self, outputs):
        """float, the share of the examples whose class has the largest output, of outputs [n, classes]."""
        return float(np.mean(np.argmax(outputs, axis=-1) == self.labels))


def normalised(examples, brightest):
    """float32 array, examples divided by the pixel value that becomes 1.0, if there is one."""
    examples = examples.astype(np.float32)
    return examples if brightest is None else examples / np.float32(brightest)
