"""The losses and metrics of a compiled Keras model, for a network that is not the model itself."""

import tensorflow as tf
from tf_keras.src.engine import compile_utils

from tf_lottery.errors import UsageError
from tf_lottery.training import evaluation


class Minimised(compile_utils.LossesContainer):
    """The loss that a model was compiled with, without the running means that Keras keeps of it.

    Called as Keras's own, it returns a float32 scalar: the mean over the examples of a replica, penalties included.

    Args:
      model: a compiled `tf_keras` model.
    """

    def __init__(self, model):
        super().__init__(model.loss, model.compiled_loss._user_loss_weights, model.output_names, _Untold())

    def _create_metrics(self):
        self._per_output_metrics = [None] * len(self._output_names)

    def __call__(self, *args, **kwargs):
        loss = super().__call__(*args, **kwargs)
        if loss is None:
            raise UsageError('the model that build returns minimises nothing: give compile(...) a loss, and examples '
                             'targets.')
        if loss.shape.rank:
            raise UsageError('the loss that build compiles its model with is not one number for a batch: let its '
                             "reduction be 'sum_over_batch_size'.")
        # Keras has divided it by the number of replicas already, which a trainer does for every task.
        return tf.cast(loss, tf.float32) * tf.distribute.get_strategy().num_replicas_in_sync


class _Untold:
    """Stands where Keras keeps the mean of the loss."""

    def update_state(self, *args, **kwargs):
        pass


class Judge(evaluation.Judge):
    """What Keras's `evaluate` says of a network, by the losses and metrics that a model was compiled with.

    These hold the sums: on several replicas, each process evaluates for itself.

    Args:
      model: a compiled `tf_keras` model, which is not called.
    """

    adds_up = False

    def __init__(self, model):
        self._model, self._loss, self._metrics = model, model.compiled_loss, model.compiled_metrics

    def start(self):
        self._loss.reset_state()
        self._metrics.reset_state()
        return ()

    def add(self, network, batch, sums):
        """Adds a batch, a dict of `x`, and if there are any `y` and `weight`."""
        outputs = network(batch['x'], training=False)
        self._update(batch, outputs, network.losses)
        return sums

    def _update(self, batch, outputs, penalties):
        targets, weights = batch.get('y'), batch.get('weight')
        self._loss(targets, outputs, weights, regularization_losses=penalties)
        if targets is not None:
            self._metrics.update_state(targets, outputs, weights)

    def finish(self, sums):
        return {metric.name: self._number(metric) for metric in (*self._loss.metrics, *self._metrics.metrics)}

    def _number(self, metric):
        value = metric.result()
        if not tf.is_tensor(value) or value.shape.rank:
            raise UsageError(f'the metric {metric.name!r} is not one number: leave it out, or let it be a mean, as by '
                             "average='macro'.")
        return float(value)

    def score(self, examples, outputs):
        """What `evaluate` says of outputs.

        Args:
          examples: dict of `y` and maybe `weight`, arrays [n, ...].
          outputs: {output: array [n, ...]} in the order of the model's outputs.

        Returns:
          {measure's name: Python float}; the loss is without penalties.
        """
        self.start()
        packed = tf.nest.pack_sequence_as(self._model.output, [tf.convert_to_tensor(each) for each in outputs.values()])
        self._update(tf.nest.map_structure(tf.convert_to_tensor, {
            name: examples[name] for name in ('y', 'weight') if name in examples}), packed, [])
        return self.finish(())
