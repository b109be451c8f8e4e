"""The layers that a Transformer has beside dense ones (Vaswani et al. 2017, 1706.03762)."""

import tensorflow as tf
import tf_keras

# The number of a sub-word that is none: what fills up a sentence to the length of its batch.
PADDING = 0

# Added to the scores of what is not attended to: exp() of it is 0 in float32, and a row of nothing else stays a number.
_NEVER = -1e9


@tf_keras.utils.register_keras_serializable('tf_lottery')
class TiedEmbedding(tf_keras.layers.Layer):
    """One matrix for the embeddings of the source, of the target and for the output (section 3.4).

    It is called on numbers of sub-words for their embeddings, and with `logits=True` on what the decoder ends in. It is
    one prunable weight, and so has one mask, wherever it is used.

    Args:
      vocabulary: int, the number of sub-words.
      width: int.
      seed: int, of the initial weights, drawn from N(0, 1 / width).
    """

    def __init__(self, vocabulary, width, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary, self.width, self.seed = vocabulary, width, seed

    def build(self, input_shape):
        self.embedding = self.add_weight('embedding', (self.vocabulary, self.width),
                                         initializer=tf_keras.initializers.RandomNormal(0, self.width**-0.5, self.seed))
        super().build(input_shape)

    def get_prunable_weights(self):
        return [self.embedding]

    def call(self, inputs, logits=False):
        """Returns embeddings [..., width] of int32 [...]; or logits [..., vocabulary] of floats [..., width]."""
        table = tf.cast(self.embedding, self.compute_dtype)
        if not logits:
            return tf.gather(table, inputs)
        flat = tf.matmul(tf.reshape(inputs, [-1, self.width]), table, transpose_b=True)
        return tf.reshape(flat, tf.concat([tf.shape(inputs)[:-1], [self.vocabulary]], 0))

    def get_config(self):
        return {**super().get_config(), 'vocabulary': self.vocabulary, 'width': self.width, 'seed': self.seed}


@tf_keras.utils.register_keras_serializable('tf_lottery')
class Positions(tf_keras.layers.Layer):
    """Scales embeddings by sqrt(width) and adds where they stand (sections 3.4 and 3.5).

        PE(position, 2i) = sin(position / 10000^(2i / width)),  PE(position, 2i + 1) = cos of the same
    """

    def call(self, inputs, first=0):
        """Returns floats of the shape of `inputs` [n, length, width], whose first place is number `first`."""
        length, width = tf.shape(inputs)[1], inputs.shape[-1]
        place = tf.cast(first + tf.range(length), tf.float32)[:, None]
        angle = place * tf.constant(10000.0)**(-tf.range(0, width, 2, tf.float32) / width)
        waves = tf.reshape(tf.stack([tf.sin(angle), tf.cos(angle)], -1), [length, width])
        return inputs * tf.cast(width**0.5, inputs.dtype) + tf.cast(waves, inputs.dtype)


@tf_keras.utils.register_keras_serializable('tf_lottery')
class NotPadding(tf_keras.layers.Layer):
    """Which places of sentences, int32 [n, length], hold a sub-word: bool [n, 1, 1, length]."""

    def call(self, inputs):
        # TFLite makes no new axes of truths by slicing.
        return tf.expand_dims(tf.expand_dims(inputs != PADDING, 1), 1)


@tf_keras.utils.register_keras_serializable('tf_lottery')
class NotLater(tf_keras.layers.Layer):
    """Which places each place of sentences [n, length] may see, those up to itself: bool [1, 1, length, length]."""

    def call(self, inputs):
        place = tf.range(tf.shape(inputs)[1])
        return tf.expand_dims(tf.expand_dims(place[None, :] <= place[:, None], 0), 0)


@tf_keras.utils.register_keras_serializable('tf_lottery')
class DotProductAttention(tf_keras.layers.Layer):
    """Scaled dot-product attention by several heads (section 3.2), without the products that come before and after it.

    Args:
      heads: int, which divides the width.
    """

    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, inputs):
        """Returns what is attended to, [n, queries, width].

        Args:
          inputs: (queries [n, queries, width], keys and values [n, keys, width], and which keys are seen, bool of a
            shape that broadcasts to [n, heads, queries, keys]).
        """
        queries, keys, values, seen = inputs
        queries, keys, values = map(self._by_head, (queries, keys, values))
        size = queries.shape[-1]
        scores = tf.cast(tf.matmul(queries * size**-0.5, keys, transpose_b=True), tf.float32)
        shares = tf.cast(tf.nn.softmax(tf.where(seen, scores, _NEVER)), values.dtype)
        found = tf.transpose(tf.matmul(shares, values), [0, 2, 1, 3])
        return tf.reshape(found, [tf.shape(found)[0], tf.shape(found)[1], self.heads * size])

    def _by_head(self, inputs):
        parts = tf.reshape(inputs, [tf.shape(inputs)[0], tf.shape(inputs)[1], self.heads,
                                    inputs.shape[-1] // self.heads])
        return tf.transpose(parts, [0, 2, 1, 3])

    def get_config(self):
        return {**super().get_config(), 'heads': self.heads}
