"""What is carried from one step to the next for each row of a batch, such as the state of a recurrent network."""

import numpy as np
import tensorflow as tf


class Carried:
    """A variable with a row for each row of a batch, of which each replica holds its own rows.

    Args:
      strategy: a tf.distribute.Strategy.
      value: array [batch, ...], what it holds at first, a batch that divides among the replicas.

    Attributes:
      shape: tuple of int, of all rows.
    """

    def __init__(self, strategy, value):
        self.shape, self._strategy = value.shape, strategy
        self._rows = len(value) // strategy.num_replicas_in_sync
        several = {} if strategy.num_replicas_in_sync == 1 else {
            'synchronization': tf.VariableSynchronization.ON_READ, 'aggregation': tf.VariableAggregation.SUM}
        with strategy.scope():
            self._variable = tf.Variable(tf.zeros((self._rows, *value.shape[1:]), value.dtype), trainable=False,
                                         name='carried', **several)
        self.assign(value)

    def read(self):
        """In a training step, this replica's rows: a tensor [batch / replicas, ...]."""
        return self._variable.read_value()

    def write(self, value):
        """In a training step, replaces this replica's rows."""
        self._variable.assign(value)

    def numpy(self):
        """All rows: array [batch, ...]; every worker has to ask."""
        return self._strategy.gather(self._strategy.run(self.read), axis=0).numpy()

    def assign(self, value):
        """Replaces all rows by those of an array [batch, ...]; every worker has to give the same one."""
        value = np.asarray(value)

        def own():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            self.write(tf.constant(value)[replica * self._rows:(replica + 1) * self._rows])

        self._strategy.run(own)
