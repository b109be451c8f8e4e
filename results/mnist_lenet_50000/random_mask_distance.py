"""How far a random mask ends from the dense network where a setting that the papers do not give is another one.

    python results/mnist_lenet_50000/random_mask_distance.py --workdir=runs/mnist_lenet_50000

Trains the dense network and a random mask of a finished run again, once per variation, and writes their distances at
several steps (1903.01611, section 2.1) to random_mask_distance.csv in the current folder.
"""

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

import numpy as np
import pandas as pd
import tensorflow as tf
from absl import app, flags
from tf_lottery.experiment import config, runs
from tf_lottery.reporting.analysis import stability
from tf_lottery.experiment.experiment import Experiment, replicate_seeds
from tf_lottery.experiment.runs import Run
from tf_lottery.ticket import Mask, Ticket

WORKDIR = flags.DEFINE_string('workdir', None, 'The experiment, finished.', required=True)
LEVEL = flags.DEFINE_integer('level', 10, 'The level of the mask.')
STEPS = flags.DEFINE_integer('steps', 50_000, 'How long to train.')
DATA_DIR = flags.DEFINE_string('data_dir', None, 'As in main.py.')

# By name: keys of `training`, and what the pixel values are multiplied by.
VARIATIONS = {
    'as in the run': ({}, 1), 'epsilon 1e-8': ({'epsilon': 1e-8}, 1), 'batches of 64': ({'batch_size': 64}, 1),
    'pixels up to 1.5': ({}, 1.5), 'pixels up to 3': ({}, 3)}
PARTS = 10


def trainings(changes, scale):
    """Trains both networks; yields the mask, and for each step the two sets of weights."""
    settings = config.restore(runs.read_config(WORKDIR.value)).config
    settings.training.update(changes)
    settings.training.length = f'{STEPS.value}it'
    settings.training.evaluate_every = settings.training.checkpoint_every = f'{STEPS.value}it'
    protocol = config.check(settings)
    dataset = protocol.task.dataset
    protocol.task.dataset = dataclasses.replace(dataset, brightest=dataset.brightest / scale)
    experiment = Experiment(WORKDIR.value, protocol, tf.distribute.get_strategy(), DATA_DIR.value)
    mask = experiment.mask(Run(0, LEVEL.value, 'random_mask'))
    start = experiment.read(Run(0, 0, 'ticket').initial_weights)
    kept = [{}, {}]
    for each, weights in zip((Mask.ones(protocol.shapes), mask), kept, strict=True):
        trained = experiment.trainer.train(
            Ticket(each, start, 0), replicate_seeds(settings.seed, 0), STEPS.value,
            keep_at=range(0, STEPS.value, STEPS.value // PARTS)[1:], keep=weights.__setitem__)
        weights[STEPS.value] = trained.weights
    return mask, *kept


def main(argv):
    del argv
    rows = []
    for name, (changes, scale) in VARIATIONS.items():
        mask, dense, masked = trainings(changes, scale)
        for step, weights in masked.items():
            first = next(iter(mask))
            rows.append({'variation': name, 'step': step, 'l2': stability.distance(dense[step], weights, mask),
                         'angle': stability.angle(dense[step], weights, mask),
                         'first_layer_masked': np.linalg.norm(weights[first]),
                         'first_layer_dense': np.linalg.norm(mask[first] * dense[step][first])})
        print(pd.DataFrame(rows[-1:]).to_string(index=False), flush=True)
    pd.DataFrame(rows).to_csv('random_mask_distance.csv', index=False, float_format='%.2f')


if __name__ == '__main__':
    app.run(main)
