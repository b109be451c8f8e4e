"""Learning rates as functions of the optimizer's step count and of nothing else: a run rewound to k goes on at k."""

import math

import tensorflow as tf
import tf_keras


def _constant(own, step):
    return own.learning_rate


def _steps(own, step):
    rates = [own.learning_rate * own.drop**passed for passed in range(len(own.milestones) + 1)]
    passed = tf.reduce_sum(tf.cast(step >= tf.constant(own.milestones, step.dtype), tf.int32))
    return tf.gather(tf.constant(rates, tf.float32), passed)


def _linear(own, step):
    return own.learning_rate + (own.final_learning_rate - own.learning_rate) * own.progress(step)


def _exponential(own, step):
    return own.learning_rate * (own.final_learning_rate / own.learning_rate) ** own.progress(step)


def _cosine(own, step):
    # (1 + cos(2x)) / 2 is cos(x)^2, which keeps its digits where the cosine comes near -1.
    falling = tf.square(tf.cos(math.pi / 2 * own.progress(step)))
    return own.final_learning_rate + (own.learning_rate - own.final_learning_rate) * falling


def _inverse_square_root(own, step):
    return own.learning_rate * tf.math.rsqrt(tf.maximum(1.0, tf.cast(step, tf.float32) / max(1, own.warmup_steps)))


_RATES = {'constant': _constant, 'steps': _steps, 'linear': _linear, 'exponential': _exponential, 'cosine': _cosine,
          'inverse_square_root': _inverse_square_root}


@tf_keras.utils.register_keras_serializable('tf_lottery')
class LearningRate(tf_keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate r(s) at step s of a training of T steps.

    With r_0 = `learning_rate` and r_T = `final_learning_rate`:

        constant      r_0
        steps         r_0 * drop^n, where n milestones are <= s
        linear        r_0 + (r_T - r_0) * s / T
        exponential   r_0 * (r_T / r_0)^(s / T)
        cosine        r_T + (r_0 - r_T) * (1 + cos(pi * s / T)) / 2             (1608.03983, without restarts)
        inverse_square_root   r_0 * sqrt(k / max(k, s)), k the warm-up or 1     (1706.03762, section 5.3)

    A warm-up over k steps multiplies it by min(1, s / k), as in 1803.03635's section 5 and open_lth: step 0 trains at
    rate 0. From step T on, where fine-tuning trains, the rate is that of step T - 1, the last one of training.

    Args:
      schedule: one of the names above.
      learning_rate: float.
      end_step: int, T.
      milestones: increasing ints; the rate drops at the step itself.
      drop: float, the factor at each milestone.
      final_learning_rate: float; above 0 where the schedule is exponential.
      warmup_steps: int, k; 0 for no warm-up.
    """

    def __init__(self, schedule, learning_rate, end_step, milestones=(), drop=0.1, final_learning_rate=0.0,
                 warmup_steps=0):
        self.schedule, self.learning_rate, self.end_step = schedule, learning_rate, end_step
        self.milestones, self.drop, self.final_learning_rate = tuple(milestones), drop, final_learning_rate
        self.warmup_steps = warmup_steps

    def progress(self, step):
        """The share of training that is behind a step, float32."""
        return tf.cast(step, tf.float32) / self.end_step

    def __call__(self, step):
        """Returns the rate, a float32 scalar, at a step, an integer scalar."""
        step = tf.minimum(tf.cast(step, tf.int64), self.end_step - 1)
        rate = _RATES[self.schedule](self, step)
        if self.warmup_steps:
            rate *= tf.minimum(1.0, tf.cast(step, tf.float32) / self.warmup_steps)
        return tf.convert_to_tensor(rate, tf.float32)

    def get_config(self):
        return {'schedule': self.schedule, 'learning_rate': self.learning_rate, 'end_step': self.end_step,
                'milestones': list(self.milestones), 'drop': self.drop,
                'final_learning_rate': self.final_learning_rate, 'warmup_steps': self.warmup_steps}


def build(schedule, learning_rate, warmup_steps=0, **options):
    """Returns what `optimizers.build` takes: the float where the rate never changes, else a LearningRate."""
    if schedule == 'constant' and not warmup_steps:
        return learning_rate
    return LearningRate(schedule, learning_rate, warmup_steps=warmup_steps, **options)
