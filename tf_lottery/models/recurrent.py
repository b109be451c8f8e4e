"""The layers of recurrent language models."""

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable('tf_lottery')
class LSTM(tf_keras.layers.Layer):
    """An LSTM layer that is given the states that it starts from, and returns those that it ends in.

    Its weights are those of Keras's LSTM. The products with its inputs are one for all steps, before the loop, and the
    loop is one that XLA compiles well, which it does not of Keras's: there it takes 30 times as long as without XLA.

        i, f, g, o = x_t K + h_(t-1) R + b
        c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g),  h_t = sigmoid(o) tanh(c_t)          (1409.2329, section 3)

    Products are in the precision of the layer; gates and states are float32 under each.

    Args:
      units: int.
      kernel_initializer, recurrent_initializer: Keras initialisers of K and R; b is zero at first.
    """

    def __init__(self, units, kernel_initializer='glorot_uniform', recurrent_initializer='glorot_uniform', **kwargs):
        # States keep their precision.
        super().__init__(autocast=False, **kwargs)
        self.units = units
        self.kernel_initializer = tf_keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = tf_keras.initializers.get(recurrent_initializer)

    def build(self, input_shape):
        width, gates = input_shape[0][-1], 4 * self.units
        self.kernel = self.add_weight('kernel', (width, gates), initializer=self.kernel_initializer)
        self.recurrent_kernel = self.add_weight(
            'recurrent_kernel', (self.units, gates), initializer=self.recurrent_initializer)
        self.bias = self.add_weight('bias', (gates,), initializer='zeros')
        super().build(input_shape)

    def get_prunable_weights(self):
        return [self.kernel, self.recurrent_kernel]

    def call(self, inputs):
        """Returns [h_1 ... h_steps [n, steps, units], h_steps, c_steps float32 [n, units]].

        Args:
          inputs: [x [n, steps, width], h_0, c_0 float32 [n, units]].
        """
        values, hidden, cell = inputs
        precision = self.compute_dtype
        kernel, recurrent, bias = (tf.cast(each, precision) for each in (
            self.kernel, self.recurrent_kernel, self.bias))
        values = tf.tensordot(tf.cast(values, precision), kernel, 1) + bias
        # The loop reads one step after the other.
        values = tf.transpose(values, [1, 0, 2])
        steps = tf.shape(values)[0]
        enters = tf.TensorArray(precision, steps).unstack(values)
        found = tf.TensorArray(precision, steps, element_shape=hidden.shape)

        def body(step, hidden, cell, found):
            gates = enters.read(step) + tf.matmul(tf.cast(hidden, precision), recurrent)
            adds, keeps, new, shows = tf.split(tf.cast(gates, tf.float32), 4, axis=-1)
            cell = tf.sigmoid(keeps) * cell + tf.sigmoid(adds) * tf.tanh(new)
            hidden = tf.sigmoid(shows) * tf.tanh(cell)
            return step + 1, hidden, cell, found.write(step, tf.cast(hidden, precision))

        _, hidden, cell, found = tf.while_loop(
            lambda step, *_: step < steps, body, (0, hidden, cell, found),
            # XLA has to know it where it differentiates a loop.
            maximum_iterations=values.shape[0])
        found = tf.transpose(found.stack(), [1, 0, 2])
        found.set_shape([None, values.shape[0], self.units])
        return [found, hidden, cell]

    def get_config(self):
        return {**super().get_config(), 'units': self.units,
                'kernel_initializer': tf_keras.initializers.serialize(self.kernel_initializer),
                'recurrent_initializer': tf_keras.initializers.serialize(self.recurrent_initializer)}


@tf_keras.utils.register_keras_serializable('tf_lottery')
class TiedWords(tf_keras.layers.Layer):
    """One matrix for words that come in and for the scores of words that come out (1608.05859, 1611.01462).

    It is one prunable weight, and so has one mask, wherever it is used; the scores have a bias, which is zero at first.

    Args:
      vocabulary, width: int.
      initializer: Keras initialiser of the matrix.
    """

    def __init__(self, vocabulary, width, initializer='uniform', **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.vocabulary, self.width = vocabulary, width
        self.initializer = tf_keras.initializers.get(initializer)

    def build(self, input_shape):
        self.embeddings = self.add_weight('embeddings', (self.vocabulary, self.width), initializer=self.initializer)
        self.bias = self.add_weight('bias', (self.vocabulary,), initializer='zeros')
        super().build(input_shape)

    def get_prunable_weights(self):
        return [self.embeddings]

    def call(self, inputs, scores=False):
        """Returns embeddings [..., width] of words int32 [...]; or scores [..., vocabulary] of floats [..., width]."""
        table = tf.cast(self.embeddings, self.compute_dtype)
        if not scores:
            return tf.gather(table, inputs)
        return tf.tensordot(inputs, table, [[-1], [1]]) + tf.cast(self.bias, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), 'vocabulary': self.vocabulary, 'width': self.width,
                'initializer': tf_keras.initializers.serialize(self.initializer)}
