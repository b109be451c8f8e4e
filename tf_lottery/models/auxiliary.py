"""An auxiliary classifier's loss (Szegedy et al., 1409.4842), in networks whose output stays one tensor."""

import contextvars

import tensorflow as tf
import tf_keras

from tf_lottery.models.context import told

_judge = contextvars.ContextVar('judge', default=None)


def judged_by(loss):
    """All `AuxiliaryLoss` layers that are called in training inside of this add their loss to `network.losses`.

    Args:
      loss: function from logits float32 [n, classes] to the mean loss of the batch at hand, a scalar: the one that the
        main classifier is trained with, label smoothing and mixed labels included.
    """
    return told(_judge, loss)


@tf_keras.utils.register_keras_serializable('tf_lottery')
class AuxiliaryLoss(tf_keras.layers.Layer):
    """Passes the main classifier's logits on, and in training adds `weight` * the loss of the auxiliary ones.

    The network so has one output, and in inference nothing of the auxiliary classifier is computed. Outside of
    `judged_by` it adds nothing.

    Args:
      weight: float.
    """

    def __init__(self, weight, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, inputs, training=None):
        logits, auxiliary = inputs
        loss = _judge.get()
        if training and loss is not None:
            self.add_loss(self.weight * loss(auxiliary))
        return tf.identity(logits)

    def get_config(self):
        return {**super().get_config(), 'weight': self.weight}
