"""What is exported."""

import dataclasses
import re

import numpy as np
import tensorflow as tf
import tf_keras

from tf_lottery.exports import batches
from tf_lottery.ticket import Mask, Ticket


@dataclasses.dataclass(frozen=True)
class Images:
    """What an image classifier is evaluated on.

    Attributes:
      pixels: uint8 array [n, height, width, channels], as evaluation sees them.
      labels: int array [n], their classes.
      brightest: int, the pixel value that becomes 1.0.
      cropped: bool, whether evaluation sees the square in the centre of a file (`data.jpeg.central_view`), resized;
        else it sees files of the network's size as they are.
    """

    pixels: np.ndarray
    labels: np.ndarray
    brightest: int
    cropped: bool = False

    @property
    def inputs(self):
        """float32 array [n, height, width, channels], as the network takes them."""
        return normalised(self.pixels, self.brightest)

    def accuracy(self, scores):
        """float, the share of the images whose class has the largest score, of scores [n, classes]."""
        return float(np.mean(np.argmax(scores, axis=-1) == self.labels))


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network with exact zeros, and what the model that was given makes of examples.

    Inputs and outputs may be any structure in Keras; here they are flat, by the names of `argument_names` and
    `output_names`.

    Attributes:
      network: Keras model without wrappers. It may share its variables with the model that was given, and holds
        `weights` only inside of `lending.holding`.
      mask: Mask over its prunable weights.
      weights: mapping from the name of each variable to a numpy array, as `wrapper.get_weights` gives them.
      inputs: {argument: array [n, ...]} of the network.
      outputs: {output: array [n, ...]}, what the model that was given makes of `inputs`.
      classifies: names of the outputs whose largest element, of [n, classes], is the prediction.
      images: Images whose pixels are the examples, or None where the network is not served as an image classifier.
      calibration: {argument: array [n, ...]}, inputs whose ranges int8 takes.
      ticket: Ticket as it starts, or None.
      about: dict that JSON can hold, how the ticket is trained, or None.
    """

    network: tf_keras.Model
    mask: Mask
    weights: dict
    inputs: dict
    outputs: dict
    classifies: tuple = ()
    images: Images | None = None
    calibration: dict | None = None
    ticket: Ticket | None = None
    about: dict | None = None


def normalised(pixels, brightest):
    """float32 array, pixel values divided by the one that becomes 1.0."""
    return pixels.astype(np.float32) / np.float32(brightest)


def argument_names(model):
    """What the inputs of a model are called in signatures, in the order of `model.inputs`.

    'inputs' in a model of one input and one output; else the names of the input layers, with `_` for what cannot be
    part of an identifier.
    """
    if len(model.inputs) == len(model.outputs) == 1:
        return ['inputs']
    names = []
    for name in model.input_names:
        name = re.sub(r'\W', '_', name)
        names.append(name if name not in names else f'{name}_{len(names)}')
    return names


def output_names(model):
    """What its outputs are called, in the order of `model.outputs`: 'outputs', or the names that Keras gives them."""
    return ['outputs'] if len(model.inputs) == len(model.outputs) == 1 else list(model.output_names)


def batch_size(model):
    """int, the batch size that a model is built for, or None if it takes any."""
    sizes = {tensor.shape[0] for tensor in model.inputs} - {None}
    return max(sizes, default=None)


def signature(model, batch=None):
    """A model as a tf.function from a list of tensors, named by `argument_names`, to a dict by `output_names`.

    Args:
      model: Keras model.
      batch: int, for batches of this size only; None for those that the model takes.
    """
    names, outputs = argument_names(model), output_names(model)
    specs = [tf.TensorSpec([batch or batch_size(model), *tensor.shape[1:]], tensor.dtype, name=name)
             for name, tensor in zip(names, model.inputs, strict=True)]

    @tf.function(input_signature=[specs])
    def serve(tensors):
        found = model(tf.nest.pack_sequence_as(model.input, tensors), training=False)
        return dict(zip(outputs, tf.nest.flatten(found), strict=True))

    return serve


def predict(model, inputs):
    """What a model makes of {argument: array [n, ...]}: {output: array [n, ...]}.

    bfloat16 becomes float32, and text an array of bytes, since no file of NumPy's holds them otherwise.
    """
    # Traced here, for TensorFlow warns of functions that are called once each.
    serve, parts = signature(model).get_concrete_function(), []
    for part in batches.split(inputs, batch_size(model)):
        # The device may hold another number of bits than the array, which has no bfloat16.
        tensors = [tf.cast(tf.constant(part[name]), tensor.dtype)
                   for name, tensor in zip(argument_names(model), model.inputs, strict=True)]
        found = serve(tensors)
        parts.append({name: _array(found[name]) for name in output_names(model)})
    return batches.join(parts)


def _array(tensor):
    if tensor.dtype == tf.string:
        return tensor.numpy().astype('S')
    return (tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor).numpy()
