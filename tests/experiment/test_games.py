"""An experiment whose steps are games: small, but whole."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tf_lottery.errors import Interrupted
from tf_lottery.experiment import config, runs
from tf_lottery.experiment.experiment import Experiment
from tf_lottery.runtime import storage

GAMES = 6


def protocol(**changes):
    settings = config.defaults()
    settings.update_from_flattened_dict({
        'task': 'control', 'control.games': GAMES, 'control.environments': 4, 'control.block': 2,
        'control.hidden': (8,), 'control.last': 10, 'control.evaluation_games': 3, 'training.batch_size': 8,
        'training.optimizer': 'rmsprop', 'training.learning_rate': 1e-3, 'training.length': '4ep',
        'training.evaluate_every': '1ep', 'training.checkpoint_every': '1ep', 'pruning.levels': 1,
        'pruning.scope': 'global', 'replicates': 1, 'pruning.rewind_to': '0it,2ep',
        'branches': ('ticket', 'fine_tuning', 'random_sparse'), **changes})
    return config.check(settings)


def results(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob('replicate_*/**/*'))
            if path.is_file() and path.name != 'timing.json'}


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('games')
    Experiment(str(folder), protocol(), tf.distribute.get_strategy(), jit=False).run()
    return folder


def rows(folder, run):
    return pd.read_csv(folder / run.folder / 'metrics.csv')


def test_steps_are_games(workdir):
    dense = rows(workdir, runs.Run(0, 0, 'ticket'))
    assert list(dense['step']) == [GAMES * epoch for epoch in range(1, 5)]
    assert dense['validation_environment_steps'].is_monotonic_increasing
    assert (dense['test_reward'] == dense['validation_reward']).all()
    # CartPole's reward is how long a game lasts: the log holds all six games of the first epoch.
    state = np.load(workdir / 'replicate_0/rewind/state_12.npz')
    assert state['rewards'].shape == (10,) and np.isfinite(state['rewards']).all()
    assert dense['test_reward'][1] == pytest.approx(state['rewards'].mean())


def test_a_ticket_goes_on_from_its_rewinding_step(workdir):
    ticket = rows(workdir, runs.Run(0, 1, 'ticket', rewind=12))
    assert list(ticket['step']) == [18, 24]
    taken = ticket['validation_environment_steps'][0] - rows(
        workdir, runs.Run(0, 0, 'ticket'))['validation_environment_steps'][1]
    assert 0 < taken < 2000
    assert list(rows(workdir, runs.Run(0, 1, 'fine_tuning', rewind=12))['step']) == [30, 36]
    assert list(rows(workdir, runs.Run(0, 1, 'random_sparse', rewind=12))['step']) == [6, 12, 18, 24]


def test_what_is_interrupted_ends_the_same(workdir, tmp_path):
    left = iter([None, None, Interrupted(15, 'here'), None, Interrupted(15, 'there')])
    stops = 0
    while True:
        try:
            Experiment(str(tmp_path), protocol(), tf.distribute.get_strategy(), jit=False,
                       stop=lambda: next(left, None)).run()
            break
        except Interrupted:
            stops += 1
            assert list(tmp_path.glob('replicate_0/**/checkpoint_*.npz'))
    assert stops == 2
    assert results(tmp_path) == results(workdir)


def test_results_say_what_was_measured(workdir):
    result = json.loads(storage.read_text(str(workdir / runs.Run(0, 0, 'ticket').folder / 'result.json')))
    assert result['final_test_reward'] == rows(workdir, runs.Run(0, 0, 'ticket'))['test_reward'].iloc[-1]
    assert 'early_stop_step' not in result
    assert [each['name'] for each in result['measures']['each']] == ['reward', 'sampled_reward', 'greedy_reward']
