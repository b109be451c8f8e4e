"""What is exported."""

import dataclasses

import tensorflow as tf
import tf_keras

from tf_lottery.exports import batches
from tf_lottery.runtime import keras2
from tf_lottery.tasks.measure import Measure
from tf_lottery.tasks.task import Serving
from tf_lottery.ticket import Mask, Ticket


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network with exact zeros, and what the model that was given makes of examples.

    Inputs and outputs may be any structure in Keras; here they are flat, by the names of `keras2.argument_names` and
    `output_names`.

    Attributes:
      network: Keras model without wrappers. It may share its variables with the model that was given, and holds
        `weights` only inside of `lending.holding`.
      mask: Mask over its prunable weights.
      weights: mapping from the name of each variable to a numpy array, as `wrapper.get_weights` gives them.
      outputs: {output: array [n, ...]}, what the model that was given makes of the inputs of `serving`.
      serving: tasks.task.Serving, how the network is served.
      measure: Measure of what `serving.score` gives, or None where there is no task.
      ticket: Ticket as it starts, or None.
      about: dict that JSON can hold, how the ticket is trained, or None.
    """

    network: tf_keras.Model
    mask: Mask
    weights: dict
    outputs: dict
    serving: Serving
    measure: Measure | None = None
    ticket: Ticket | None = None
    about: dict | None = None


def output_names(model):
    """What its outputs are called, in the order of `model.outputs`: 'outputs', or the names that Keras gives them."""
    return ['outputs'] if len(model.inputs) == len(model.outputs) == 1 else list(model.output_names)


def batch_size(model):
    """int, the batch size that a model is built for, or None if it takes any."""
    sizes = {tensor.shape[0] for tensor in model.inputs} - {None}
    return max(sizes, default=None)


def signature(model, batch=None):
    """A model as a tf.function from a list of tensors, named by `keras2.argument_names`, to a dict by `output_names`.

    Args:
      model: Keras model.
      batch: int, for batches of this size only; None for those that the model takes.
    """
    names, outputs = keras2.argument_names(model), output_names(model)
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
                   for name, tensor in zip(keras2.argument_names(model), model.inputs, strict=True)]
        found = serve(tensors)
        parts.append({name: _array(found[name]) for name in output_names(model)})
    return batches.join(parts)


def _array(tensor):
    if tensor.dtype == tf.string:
        return tensor.numpy().astype('S')
    return (tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor).numpy()
