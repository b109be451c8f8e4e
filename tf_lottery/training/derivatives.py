"""What the loss of a task says of each prunable weight: derivatives on a sample of training examples.

They are taken of a network of this process's own, in no strategy, so that one replica or many see the same numbers; of
several workers the first one's count.
"""

import functools
import itertools
import math

import numpy as np
import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError, in_one_line
from tf_lottery.pruning import wrapper
from tf_lottery.runtime import distribute
from tf_lottery.training.evaluation import length

# Examples of a pass, at most.
_BATCH = 100

# GraSP's temperature: what logits are divided by (2002.07376, the authors' code).
_TEMPERATURE = 200.0

# Outputs of an example, each of which the curvature takes a pass of its own for.
MOST_OUTPUTS = 1000


class Derivatives:
    """Takes derivatives of a task's loss with respect to the prunable weights.

    The loss is that of training, with what networks do in training: batch norm by the statistics of the batch, dropout
    drawn once for all. The curvature and SynFlow's are of the network as it is evaluated.

    Args:
      task: tasks.task.Task.
      examples: training examples as of `feed.drawn`.
      batch_size: int, the examples of a training step.
      strategy: a tf.distribute.Strategy, whose workers have all the same numbers.
      variables: which of the network's are pruned, one of `allocation.VARIABLES`.
    """

    def __init__(self, task, examples, batch_size, strategy, variables='kernels'):
        self._task, self._examples, self._strategy = task, examples, strategy
        self._count, self._batch = length(examples), min(batch_size, _BATCH)
        self._network = task.network(0)
        self._variables = wrapper.variables(self._network)
        self._weights = {name: variable for name, (_, variable, *_) in wrapper.prunable_variables(
            wrapper.prunable(self._network, task.skip, variables)).items()}
        self._gradient_of = tf.function(self._gradient_of)
        self._flow_of = tf.function(self._flow_of)
        self._curvature_of = tf.function(self._curvature_of)
        self._loss_of = tf.function(self._loss_of)

    def require(self, names):
        """Refuses derivatives that this task's networks do not have.

        Args:
          names: of the methods below.

        Raises:
          UsageError.
        """
        if 'curvature' in names:
            outputs = self._network(self._task.inputs(self._part(0, 1)), training=False)
            count = sum(math.prod(output.shape[1:]) for output in tf.nest.flatten(outputs))
            if count > MOST_OUTPUTS:
                raise UsageError(f"pruning.criterion='obd' takes a pass for each output of an example, and there are "
                                 f"{count:,}, more than {MOST_OUTPUTS:,}: give pruning.criterion='taylor'.")
        if 'synaptic_flow' in names:
            self._flowing.require()

    def gradient(self, weights):
        """dL/dw, L the mean loss of the sample.

        Args:
          weights: mapping from the name of each of the network's variables to an array; what is pruned is zero.

        Returns:
          dict from the name of each prunable weight to a float array of its shape.
        """
        self._assign(weights)
        return self._mean(self._gradient_of, self._parts())

    def flow(self, weights):
        """H g, the product of the Hessian of the sample's mean loss and its gradient; arguments as of `gradient`.

        Where outputs are logits, they are divided by 200; other losses have no temperature, and a factor on a loss
        changes no ranking. The gradient is of the prunable weights alone.

        Source: GraSP (2002.07376) and the authors' code.
        """
        self._assign(weights)
        temperature = tf.constant(_TEMPERATURE if self._task.logits else 1.0)
        whole = self._mean(lambda part: self._gradient_of(part, temperature), self._parts())
        whole = [tf.constant(array) for array in whole.values()]
        # Batches have moved the statistics of batch norm.
        self._assign(weights)
        return self._mean(lambda part: self._flow_of(part, temperature, whole), self._parts())

    def curvature(self, weights):
        """The diagonal of the Gauss-Newton matrix of the sample's mean loss; arguments as of `gradient`.

        The mean over the examples of J^T H J's diagonal, J the derivatives of an example's outputs by the weights and H
        the Hessian of its loss by its outputs: a pass for each eigenvector of H.

        Source: LeCun et al. 1990, "Optimal Brain Damage", without the terms of second derivatives of activations.
        """
        self._assign(weights)
        return self._mean(self._curvature_of, (
            self._part(number, number + 1) for number in range(self._count)))

    def loss(self, weights):
        """The mean loss of the sample, a float, of the network as it is evaluated; arguments as of `gradient`."""
        self._assign(weights)
        return sum(len(part['row']) / self._count * float(self._loss_of(part)) for part in self._parts())

    def synaptic_flow(self, weights):
        """dR/d|w|, R the sum of the outputs for an input of ones, with the magnitudes of all variables for weights.

        In float64, for R grows with the product of the layers, and without the activations of the outputs.

        Args, Returns: as of `gradient`, but float64.

        Source: SynFlow (2006.05467).
        """
        return self._shared(self._flowing.derivatives(weights, list(self._weights)))

    @functools.cached_property
    def _flowing(self):
        return _Flow(self._network, self._task.inputs(self._part(0, 1)))

    def _assign(self, weights):
        for name, variable in self._variables.items():
            variable.assign(weights[name])

    def _part(self, first, last):
        """The examples of some places, as a batch of a training step."""
        part = tf.nest.map_structure(lambda array: tf.constant(array[first:last]), self._examples)
        return {**part, 'step': tf.constant(0), 'row': tf.range(last - first)}

    def _parts(self):
        """All examples, in batches of nearly the same size: the statistics of a few would be none."""
        edges = np.linspace(0, self._count, math.ceil(self._count / self._batch) + 1).round().astype(int).tolist()
        return [self._part(first, last) for first, last in itertools.pairwise(edges)]

    def _mean(self, function, parts):
        """The mean over all examples of what a function of a batch is in the mean of it."""
        totals = [tf.zeros(variable.shape) for variable in self._weights.values()]
        for part in parts:
            share = tf.cast(len(part['row']) / self._count, tf.float32)
            totals = [total + share * tf.cast(value, tf.float32)
                      for total, value in zip(totals, function(part), strict=True)]
        return self._shared({name: total.numpy() for name, total in zip(self._weights, totals, strict=True)})

    def _shared(self, arrays):
        return {name: distribute.array_from_chief(self._strategy, array) for name, array in arrays.items()}

    def _loss(self, network, part):
        return self._task.loss(network, part, tf.constant(0))[0]

    def _loss_of(self, part):
        return self._loss(_OtherOutputs(self._network, lambda inputs: self._network(inputs, training=False)), part)

    def _gradient_of(self, part, temperature=1.0):
        with tf.GradientTape() as tape:
            loss = self._loss(_OtherOutputs(self._network, lambda inputs: tf.nest.map_structure(
                lambda output: output / tf.cast(temperature, output.dtype),
                self._network(inputs, training=True))), part)
        return self._by_weights(tape, loss)

    def _by_weights(self, tape, target, along=None):
        """The derivatives of what a tape has recorded by the prunable weights: list of tensors."""
        found = tape.gradient(target, list(self._weights.values()), along, tf.UnconnectedGradients.ZERO)
        # Those of an embedding are of its rows.
        return [tf.convert_to_tensor(each) for each in found]

    def _flow_of(self, part, temperature, whole):
        with tf.GradientTape() as tape:
            own = self._gradient_of(part, temperature)
            product = tf.add_n([tf.reduce_sum(tf.cast(each, tf.float32) * other)
                                for each, other in zip(own, whole, strict=True)])
        return self._by_weights(tape, product)

    def _curvature_of(self, part):
        with tf.GradientTape(persistent=True) as tape:
            outputs = self._network(self._task.inputs(part), training=False)
            flat = _flat(outputs)
        values, vectors = tf.linalg.eigh(self._hessian(part, outputs))

        def body(number, totals):
            slopes = self._by_weights(tape, flat, vectors[:, number])
            return number + 1, [total + values[number] * tf.cast(slope, tf.float32)**2
                                for total, slope in zip(totals, slopes, strict=True)]

        zeros = [tf.zeros(variable.shape) for variable in self._weights.values()]
        return tf.while_loop(lambda number, _: number < len(values), body, (tf.constant(0), zeros))[1]

    def _hessian(self, part, outputs):
        """The second derivatives of the loss of an example by its outputs: float32 [c, c]."""
        flat = tf.stop_gradient(_flat(outputs))
        with tf.GradientTape() as outer, tf.GradientTape() as inner:
            outer.watch(flat)
            inner.watch(flat)
            loss = self._loss(_OtherOutputs(self._network, lambda inputs: _unflattened(flat, outputs)), part)
            slope = inner.gradient(loss, flat)
        second = outer.jacobian(slope, flat, tf.UnconnectedGradients.ZERO, experimental_use_pfor=False)
        return (second + tf.transpose(second)) / 2


class _OtherOutputs:
    """Stands for a network where a task takes its loss, with other outputs: a function of the inputs."""

    def __init__(self, network, outputs):
        self._network, self._outputs = network, outputs

    def __call__(self, inputs, training=None):
        return self._outputs(inputs)

    def __getattr__(self, name):
        return getattr(self._network, name)


def _flat(outputs):
    """All outputs of one example, float32 [c]."""
    return tf.concat([tf.reshape(tf.cast(output, tf.float32), [-1]) for output in tf.nest.flatten(outputs)], 0)


def _unflattened(flat, outputs):
    """The inverse of `_flat`: numbers [c] in the structure of `outputs`."""
    each = tf.nest.flatten(outputs)
    parts = tf.split(flat, [math.prod(output.shape) for output in each])
    return tf.nest.pack_sequence_as(outputs, [
        tf.cast(tf.reshape(part, output.shape), output.dtype) for part, output in zip(parts, each, strict=True)])


class _Flow:
    """SynFlow's network: a copy in float64 that is fed with ones.

    Args:
      network: a `tf_keras` model.
      inputs: what it takes of one example.

    Raises:
      UsageError: it has a layer that cannot be made anew.
    """

    def __init__(self, network, inputs):
        self._inputs = inputs
        try:
            self._network = _in_float64(network, {})
        # Layers of one's own are made anew by code of one's own.
        except Exception as error:
            raise UsageError(f"the branch 'synflow' takes {network.name!r} in float64, which its layers cannot be made "
                             f"in ({in_one_line(error)}): leave the branch out, or train 'snip' or 'grasp'.") from error
        self._variables = wrapper.variables(self._network)
        self._slopes = tf.function(self._slopes)

    def require(self):
        """Refuses inputs that cannot be ones.

        Raises:
          UsageError.
        """
        each = tf.nest.flatten(self._inputs)
        if all(tensor.dtype.is_floating for tensor in each):
            ones = tf.nest.map_structure(tf.ones_like, self._inputs)
            with tf.GradientTape() as tape:
                tape.watch(ones)
                total = self._total(ones)
            if not any(slope is None for slope in tape.gradient(total, tf.nest.flatten(ones))):
                return
        raise UsageError(f"the branch 'synflow' puts ones where {self._network.name!r} takes indices or text: "
                         "leave the branch out, or train 'snip' or 'grasp'.")

    def derivatives(self, weights, names):
        """dR/d|w| of the variables of some names; `weights` are those of all variables: dict of float64 arrays."""
        for name, variable in self._variables.items():
            variable.assign(np.abs(weights[name]))
        return {name: slope.numpy() for name, slope in zip(
            names, self._slopes([self._variables[name] for name in names]), strict=True)}

    def _total(self, inputs):
        """R: the sum of all outputs."""
        return tf.add_n([tf.reduce_sum(output) for output in tf.nest.flatten(self._network(inputs, training=False))])

    def _slopes(self, variables):
        with tf.GradientTape() as tape:
            total = self._total(tf.nest.map_structure(tf.ones_like, self._inputs))
        found = tape.gradient(total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(each) for each in found]


def _in_float64(model, made, ends=True):
    """A copy of a model whose layers compute in float64, with weights of its own.

    Args:
      model: a Sequential or functional `tf_keras` model.
      made: dict from the ids of layers to their copies, which is added to.
      ends: whether its outputs are the network's: these come without their activations, for a softmax adds up to 1
        whatever flows into it.
    """
    last = {id(output._keras_history.layer) for output in model.outputs} if ends else ()

    def copy(layer):
        if id(layer) not in made:
            if isinstance(layer, tf_keras.Model):
                made[id(layer)] = _in_float64(layer, made, id(layer) in last)
            else:
                made[id(layer)] = _layer_in_float64(layer, id(layer) in last)
        return made[id(layer)]

    return tf_keras.models.clone_model(model, clone_function=copy)


def _layer_in_float64(layer, last):
    if last and isinstance(layer, tf_keras.layers.Softmax):
        return tf_keras.layers.Activation('linear', dtype='float64', name=layer.name)
    config = _wide(layer.get_config())
    if last and 'activation' in config:
        config['activation'] = 'linear'
    return type(layer).from_config(config)


def _wide(config):
    """The config of a layer with float64 in the place of every policy that computes in another float."""
    if isinstance(config, dict):
        return {key: 'float64' if key == 'dtype' and 'float' in str(value) else _wide(value)
                for key, value in config.items()}
    return [_wide(each) for each in config] if isinstance(config, list) else config
