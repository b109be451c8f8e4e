"""Whether every replica holds the same mask."""

import tensorflow as tf
import tf_keras

from tf_lottery.errors import ClusterError
from tf_lottery.pruning import wrapper
from tf_lottery.runtime.distribute import gather, name_workers


def checksum(masks):
    """A Zobrist hash of masks: the sum, modulo 2**64, of a random number for each place where a weight is kept.

    Args:
      masks: list of float tensors of 0 and 1, their shapes static.

    Returns:
      int64 scalar tensor.

    Source: A. L. Zobrist, A New Hashing Method with Application for Game Playing, 1970.
    """
    total = tf.constant(0, tf.int64)
    for number, mask in enumerate(masks):
        # The generator is named: devices would choose different ones.
        keys = tf.random.stateless_uniform(mask.shape, [number, 0], None, None, tf.int64, alg='philox')
        total += tf.reduce_sum(tf.where(mask != 0, keys, 0))
    return total


class SameMasks(tf_keras.callbacks.Callback):
    """Stops every worker with a sentence where two replicas hold different masks: when `fit` starts, and when asked.

    Args:
      strategy: a tf.distribute.Strategy.
      network: a model made by `prunable` in its scope.

    Raises:
      ClusterError.
    """

    def __init__(self, strategy, network):
        super().__init__()
        self._strategy = strategy
        masks = [mask for _, _, mask, _ in wrapper.prunable_variables(network).values()]

        def own():
            # Each replica reads its own copies, where they are.
            return checksum([tf.convert_to_tensor(mask) for mask in masks])[None]

        @tf.function
        def every():
            return strategy.run(own)

        self._checksums = every

    def on_train_begin(self, logs=None):
        self.check()

    def check(self):
        if self._strategy.num_replicas_in_sync == 1:
            return
        checksums = gather(self._strategy, self._checksums())
        odd = [replica for replica, value in enumerate(checksums) if value != checksums[0]]
        if odd:
            raise ClusterError(
                f'the masks of {name_workers(self._strategy, odd)} differ from those of '
                f'{name_workers(self._strategy, [0])}: every worker must read the same files. See that --workdir is '
                'one shared folder, and run the same command again on every worker.')
