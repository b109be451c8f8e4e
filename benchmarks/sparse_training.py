"""What it costs to change masks while networks are trained, and to learn masks instead of weights.

    python benchmarks/sparse_training.py --repeats=5
"""

import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

import numpy as np
import tensorflow as tf
from absl import app
from benchmarks import measure, tasks
from tf_lottery.pruning import updates, wrapper
from tf_lottery.ticket import Mask, Ticket
from tf_lottery.training.learned_masks import EdgePopup, Start, Supermask
from tf_lottery.training.trainer import Seeds, Settings, Trainer

SEEDS = Seeds(0, 1, 2)


def sides(task, batch, steps, jit, block, every):
    """Functions that train for `steps` steps without evaluations, under a mask that stays and ones that do not."""
    strategy = tf.distribute.get_strategy()
    own = Settings(batch_size=batch, optimizer='adam', learning_rate=1.2e-3, momentum=0.9, evaluate_every=steps,
                   checkpoint_every=10**9, block=block, jit=jit)
    feed = task.feed(own, strategy)
    made = {name: Trainer(task, feed, own, strategy, **how) for name, how in (
        ('masked', {}), ('rigl', {'dense_gradients': True}), ('edge-popup', {'learns': EdgePopup}),
        ('supermask', {'learns': Supermask}))}
    rng = np.random.default_rng(0)
    weights = wrapper.get_weights(made['masked'].network)
    mask = Mask({name: rng.random(array.shape) < 0.2
                 for name, array in wrapper.get_mask(made['masked'].network).items()})
    ticket, names = Ticket(mask, weights), tuple(mask)
    # No row of the table is about evaluations.
    for trainer in made.values():
        trainer.evaluate = lambda: {'validation_loss': 0.0}
    dense = Ticket(Mask.ones({name: array.shape for name, array in mask.items()}), weights)
    start = Start(0.2, {name: int(array.sum()) for name, array in mask.items()}, 0)
    regrowth = updates.Regrowth(tuple(range(every, steps, every)), names, 0.3, steps)
    return {
        'masked': lambda: made['masked'].train(ticket, SEEDS, steps),
        # Steps as RigL takes them, without its updates.
        'kept': lambda: made['rigl'].train(ticket, SEEDS, steps),
        'rigl': lambda: made['rigl'].train(ticket, SEEDS, steps, updates=regrowth),
        **{name: functools.partial(made[name].train, dense, SEEDS, steps, learning=start)
           for name in ('edge-popup', 'supermask')}}


def main(argv):
    del argv
    measure.header()
    for name, task, batch, steps, jit, block in (
            ('LeNet', tasks.lenet(), 60, 2000, True, 100), ('ResNet-20', tasks.resnet20(), 128, 12, False, 6)):
        seconds = measure.interleaved(sides(task, batch, steps, jit, block, block), measure.REPEATS.value)
        for side, what, asked in (
                ('kept', "a step of RigL's", 'at most 1.1'),
                ('rigl', f'RigL with its updates, every {block} steps,', 'for comparison'),
                ('edge-popup', 'edge-popup', 'for comparison'), ('supermask', 'supermask', 'for comparison')):
            measure.row(f'{name}, {what} / masked, time',
                        f'{measure.rate(steps, seconds[side], "steps")}, '
                        f'{measure.rate(steps, seconds["masked"], "steps")}',
                        measure.ratio(seconds[side], seconds['masked']), asked)


if __name__ == '__main__':
    app.run(main)
