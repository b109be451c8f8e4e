"""What masks cost two workers of MultiWorkerMirroredStrategy on loopback, next to stock TF-MOT.

    python benchmarks/workers.py --repeats=5
"""

import json
import os
import pathlib
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from absl import app
from benchmarks import measure

WORKERS, BATCH, STEPS, EXECUTION = 2, 60, 200, 10


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def work():
    """One worker: trains dense, masked and stock in turn; the first one prints."""
    import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

    import tensorflow as tf
    import tf_keras
    from benchmarks import tasks, training
    from tensorflow_model_optimization.sparsity import keras as sparsity
    from tf_lottery.runtime import distribute
    from tf_lottery.pruning import wrapper
    from tf_lottery.training.trainer import Seeds, TrainingModel

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    task, own = tasks.lenet(6000), training.settings(BATCH, jit=False)
    feed = task.feed(own, strategy)

    def stock(network):
        return sparsity.prune_low_magnitude(network, sparsity.ConstantSparsity(0.8, 0, frequency=10**6))

    def side(wrap, callbacks=()):
        with strategy.scope():
            model = TrainingModel(wrap(task.network(0)), task, feed, own)
            model.compile(tf_keras.optimizers.Adam(1.2e-3, jit_compile=False), steps_per_execution=EXECUTION)
        steps = STEPS + EXECUTION
        return training.timed(lambda clock: model.fit(
            feed.training(Seeds(0, 0, 0), [0, steps], 0), steps_per_epoch=steps, verbose=0,
            callbacks=[*callbacks, clock]), clocked=True)

    class UpdateStep(sparsity.UpdatePruningStep):
        """TF-MOT's callback looks for the wrappers in the model that is trained; here they are one level down."""

        def set_model(self, model):
            super().set_model(model.network)

    seconds = measure.interleaved({
        'dense': side(lambda network: network), 'masked': side(wrapper.prunable),
        'stock': side(stock, [UpdateStep()])}, measure.REPEATS.value)
    if distribute.is_chief():
        dense = measure.rate(STEPS, seconds['dense'], 'steps')
        measure.header()
        for name, title, asked in (('masked', 'masked', 'at most 1.1'), ('stock', 'stock TF-MOT', 'for comparison')):
            measure.row(f'LeNet on two workers, {title} / dense, time',
                        f'{measure.rate(STEPS, seconds[name], "steps")}, {dense}',
                        measure.ratio(seconds[name], seconds['dense']), asked)


def main(argv):
    if 'TF_CONFIG' in os.environ:
        work()
        return
    addresses = [f'127.0.0.1:{free_port()}' for _ in range(WORKERS)]
    processes = [subprocess.Popen([sys.executable, *argv, f'--repeats={measure.REPEATS.value}'], env={
        **os.environ, 'TF_CONFIG': json.dumps({
            'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': index}})})
        for index in range(WORKERS)]
    sys.exit(max(process.wait() for process in processes))


if __name__ == '__main__':
    app.run(main)
