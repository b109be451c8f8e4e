"""Optimizers that can start afresh in the middle of a learning-rate schedule."""

import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.training import OPTIMIZERS


@tf_keras.utils.register_keras_serializable('tf_lottery')
class Adam(tf_keras.optimizers.Adam):
    """Adam (1412.6980) whose bias correction counts from where its moments started, not from step 0.

    After rewinding, the step count is k, where the learning-rate schedule goes on, while the moments are fresh. Keras's
    Adam would correct them as if they were k steps old, which makes the first steps up to six times too long. From step
    0 it is Keras's, to the bit: the update is Keras's own, with the age of the moments for the step count.

    Attributes:
      moments_start: int64 variable, the step count that the moments were fresh at; there once the optimizer is built,
        and saved with it.
    """

    def build(self, var_list):
        super().build(var_list)
        if not hasattr(self, 'moments_start'):
            self.moments_start = self.add_variable((), tf.int64, name='moments_start')

    def update_step(self, gradient, variable):
        steps = self._iterations
        # Of all that counts steps the update alone counts from there. Keras's own attribute handling would track it.
        object.__setattr__(self, '_iterations', steps - self.moments_start)
        try:
            super().update_step(gradient, variable)
        finally:
            object.__setattr__(self, '_iterations', steps)

    def get_config(self):
        # Keras's leaves it out, and so reads another optimizer back.
        return {**super().get_config(), 'adaptive_epsilon': self.adaptive_epsilon}


@tf_keras.utils.register_keras_serializable('tf_lottery')
class RMSpropOutside(tf_keras.optimizers.RMSprop):
    """RMSprop with epsilon outside of the root, as in PyTorch: w <- w - rate * g / (sqrt(s) + epsilon).

    Keras's epsilon is inside, where 1e-8 would be 1e-4 here.
    """

    def update_step(self, gradient, variable):
        gradient, number = tf.convert_to_tensor(gradient), self._index_dict[self._var_key(variable)]
        square = self._velocities[number]
        square.assign(self.rho * square + (1 - self.rho) * tf.square(gradient))
        move = tf.cast(self.learning_rate, variable.dtype) * gradient / (tf.sqrt(square) + self.epsilon)
        if self.momentum > 0:
            momentum = self._momentums[number]
            momentum.assign(self.momentum * momentum + move)
            move = momentum
        variable.assign_sub(move)


def build(name, learning_rate, momentum=0.9, rho=0.9, epsilon=1e-7, epsilon_outside=False, beta_2=0.999,
          clip_norm=None):
    """Builds an optimizer by name.

    'momentum' is v <- momentum * v - rate * g, w <- w + v. 'rmsprop' is TensorFlow's own form, with epsilon inside the
    root: s <- rho * s + (1 - rho) * g^2, v <- momentum * v + rate * g / sqrt(s + epsilon), w <- w - v. Nothing in it
    counts steps, so that it can be rewound as it is. The Squeezenet of 1903.01611 was trained by it with momentum 0.9,
    rho 0.9 and epsilon 1 (tensorflow/tpu, squeezenet_model.py), without which its rate of 0.66 would be far too high;
    TensorFlow 1 started s at 1, Keras starts it at 0.

    Args:
      name: 'adam', 'sgd', 'momentum' or 'rmsprop'; or a function without arguments that returns another optimizer,
        for which nothing else is read.
      learning_rate: float, or a Keras learning-rate schedule over the step count.
      momentum: float, used by 'momentum' and 'rmsprop'.
      rho: float, used by 'rmsprop'.
      epsilon: float, used by 'adam' and 'rmsprop'.
      epsilon_outside: bool, whether that is added where PyTorch adds it: by 'adam' after the bias correction of the
        mean square's root (Keras's `adaptive_epsilon`), by 'rmsprop' outside of the root.
      beta_2: float, used by 'adam'; its beta_1 is 0.9.
      clip_norm: float, the L2 norm of the gradients of all variables together to which longer ones are shortened
        (Pascanu et al. 2013, 1211.5063), summed over the replicas before; None for none.

    Returns:
      A `tf_keras.optimizers.Optimizer` that is not itself compiled: the training step around it is.

    Raises:
      UsageError: an unknown name.
    """
    if callable(name):
        return name()
    common = {'learning_rate': learning_rate, 'global_clipnorm': clip_norm, 'jit_compile': False}
    if name == 'adam':
        return Adam(beta_2=beta_2, epsilon=epsilon, adaptive_epsilon=epsilon_outside, **common)
    if name == 'sgd':
        return tf_keras.optimizers.SGD(**common)
    if name == 'momentum':
        return tf_keras.optimizers.SGD(momentum=momentum, **common)
    if name == 'rmsprop':
        kind = RMSpropOutside if epsilon_outside else tf_keras.optimizers.RMSprop
        return kind(rho=rho, momentum=momentum, epsilon=epsilon, **common)
    raise UsageError(f'unknown optimizer {name!r}: choose one of {", ".join(OPTIMIZERS)}.')
