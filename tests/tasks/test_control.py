"""The task to act in an environment: what a config may say of it, and what comes of it."""

import importlib.util
import json
import types

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery import tasks
from tf_lottery.data import environments
from tf_lottery.data.environments import cartpole
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config as configs
from tf_lottery.experiment import plan
from tf_lottery.pruning import wrapper
from tf_lottery.tasks.task import Facts


def settings(**changes):
    config = configs.defaults()
    config.update_from_flattened_dict({
        'task': 'control', 'training.batch_size': 64, 'training.length': '4ep', 'training.evaluate_every': '1ep',
        'training.checkpoint_every': '2ep', **{key.replace('__', '.'): value for key, value in changes.items()}})
    return config


@pytest.mark.parametrize(('environment', 'shapes'), [
    ('CartPole-v0', [(4, 6), (6, 5), (5, 2), (5, 1)]), ('Acrobot-v1', [(6, 6), (6, 5), (5, 3), (5, 1)])])
def test_facts_are_those_of_the_network(environment, shapes):
    task = tasks.find(settings(control__environment=environment, control__hidden=(6, 5)))
    facts = task.facts()
    assert facts.about == f'a2c on {environment}'
    assert [weight.shape for weight in facts.weights.values()] == shapes
    assert {name: weight.shape for name, weight in facts.weights.items()} == {
        name: tuple(weight.shape)
        for name, (_, weight, *_) in wrapper.prunable_variables(wrapper.prunable(task.network(0))).items()}


def test_lengths_are_games():
    protocol = configs.check(settings(pruning__rewind_to='160games,2ep', training__length='640it'))
    assert (protocol.end_step, protocol.rewind_steps, protocol.evaluate_every) == (640, (160, 320), 160)


@pytest.mark.parametrize(('changes', 'sentence'), [
    ({'control__environment': 'CartPole-v2'}, "unknown environment 'CartPole-v2': choose one of CartPole-v0, "
     r'.*\. Did you mean .CartPole-v[01].\?'),
    ({'training__batch_size': 100}, r'training.batch_size is 100, but 32 games side by side \(control.environments\) '
     r'of 4 steps each \(control.block\) are 128 steps: give these, or a share'),
    ({'control__last': 31}, 'control.last is 31, and control.environments=32 games may be over at once: give as many '
     'or more'),
    ({'training__length': '500it'}, "training.length is '500it', but a2c on CartPole-v0 can only be stopped at the end "
     "of an epoch of 160 games: give whole epochs, as in '1ep'"),
    ({'pruning__rewind_to': '0it,100games'}, "pruning.rewind_to is '0it,100games', but a2c"),
    ({'training__evaluate_every': '100it'}, "training.evaluate_every is '100it', but a2c"),
    ({'training__checkpoint_every': '5000it'}, "training.checkpoint_every is '5000it', but a2c"),
    ({'training__schedule': 'linear'}, "training.schedule is 'linear' and training.warmup '0it', but a2c .* counts "
     "games, which a learning rate does not follow: give training.schedule='constant' and training.warmup='0it'"),
    ({'pruning__criterion': 'taylor'}, "pruning.criterion='taylor' ranks by derivatives over training examples, of "
     'which a2c on CartPole-v0 has none: choose another one'),
    ({'branches': ('ticket', 'snip')}, "the branch 'snip' ranks by derivatives"),
    ({'branches': ('ticket', 'set')}, "the branch 'set' is not for a2c on CartPole-v0, which can only"),
    ({'branches': ('ticket', 'edge_popup')}, "the branch 'edge_popup' is not for a2c"),
    ({'branches': ('ticket', 'ticket_reordered')}, 'connectivity.points is 30, but a2c on CartPole-v0 has no examples '
     "to measure errors between copies of 'ticket_reordered' on: give connectivity.points=0"),
    ({'construction__widths': (2,)}, r'construction.widths is \(2,\), but a2c'),
    ({'control__games': 320, 'control__batches': 5}, 'control.games is 320, and control.batches=5 are the epoch '
     'instead: leave one of them out'),
    ({'control__batches': 5, 'training__length': '10it'}, 'control.batches is 5, and what is played at a time makes 2 '
     'batches: give a multiple of these'),
    ({'control__algorithm': 'a2c_blocks', 'control__block': 1, 'training__batch_size': 32}, 'control.block is 1, and '
     "control.algorithm='a2c_blocks' takes the last step"),
    ({'control__batches': 6, 'training__length': '7it'}, "training.length is '7it', but a2c on CartPole-v0 can only be "
     'stopped at the end of an epoch of 6 steps'),
    ({'control__algorithm': 'ppo'}, "control.algorithm is 'ppo': choose one of a2c, a2c_blocks"),
    ({'training__optimizer': 'own'}, "training.optimizer is 'own', the one that a model of your own"),
])
def test_what_cannot_be_is_refused(changes, sentence):
    with pytest.raises(UsageError, match=f'^{sentence}'):
        configs.check(settings(**changes))


def plan_of(folder, speed=None, **changes):
    text = plan.describe(str(folder / 'none'), configs.check(settings(**changes)), examples_per_second=speed)
    return dict(line.split(maxsplit=1) for line in text.split('\n') if line)


def test_the_plan_counts_steps_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, '_product_seconds', lambda protocol: 3e-5)
    monkeypatch.setattr(plan.os, 'cpu_count', lambda: 1)
    found = plan_of(tmp_path, training__batch_size=128, pruning__levels=1, replicates=1)
    assert 'a2c on CartPole-v0, 640 games a run of batch 128, rewinding to game 0' in found.values()
    # Two trainings of four epochs, in which each of the 32 environments plays five games of 200 steps.
    assert found['to'].startswith('play     at most 256,000 steps in the environment; at most 320,000 to evaluate')
    # A step is of five passes, three to learn, one to act and one for the value of what is next.
    low, high = (19.2 + share * 256_000 * (5e-5 + 2e-7 + 1.5e-4 / 128) + 320_000 * (1e-5 + 2e-7) for share in (0.1, 1))
    assert found['time'].startswith(
        f'about {low:.0f} s to {high:.0f} s, with start, report and export, by how long games last: from 10 % of their '
        'limit to all of it (from the matrix products of a game and its share of the evaluations, 12 ms')


def test_the_plan_at_a_speed_is_of_steps_in_the_environment(tmp_path):
    found = plan_of(tmp_path, 1000, training__batch_size=128, pruning__levels=0, replicates=1)
    # At most 128,000 are learned from, and 160,000 are played for a fifth of the time of each.
    assert found['time'] == ('about 45 s to 3 min (at 1,000 steps in the environment/s in training, 5 times that in '
                             'evaluation, by how long games last: from 10 % of their limit to all of it)')


def test_games_that_do_not_share_out_evenly_are_played_longer():
    play = tasks.find(settings(control__games=33, control__block=8)).facts().play
    # One environment plays a second game, and all others beside it; 400 steps are 50 blocks.
    assert (play.epoch, play.exact, play.evaluation) == (2 * 200 * 32, False, 200 * 200)


def test_the_plan_of_batches_is_exact_and_needs_no_emulator(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    atari = dict(control__environment='ALE/Seaquest-v5', control__algorithm='a2c_blocks', control__batches=10,
                 control__evaluation_games=0, pruning__levels=0, replicates=1)
    found = plan_of(tmp_path, **atari)
    assert found['to'] == 'play     2,560 steps in the environment, 7,680 frames of 3 a step on average'
    assert 'by how busy the machine is' in found['time']
    with pytest.raises(UsageError, match="the environment ALE/Seaquest-v5 needs gymnasium, which is not installed: pip "
                                         r"install 'tf_lottery\[atari\]'"):
        tasks.find(settings(**atari)).feed(types.SimpleNamespace(jit=False), tf.distribute.get_strategy())
    # As a matrix does before the first of its experiments is trained.
    with pytest.raises(UsageError, match="the environment ALE/Seaquest-v5 needs gymnasium, which is not installed"):
        tasks.find(settings(**atari)).require_data()


def test_facts_of_play_are_read_back():
    facts = tasks.find(settings()).facts()
    assert Facts.from_json(json.loads(json.dumps(facts.to_json()))).play == facts.play
    # Folders of before do not have them.
    stored = {key: value for key, value in facts.to_json().items() if key != 'play'}
    assert Facts.from_json(stored).play is None and Facts.from_json(stored).are_of(facts)


def test_games_are_refused_where_nobody_plays():
    config = configs.defaults()
    config.training.length = '160games'
    with pytest.raises(UsageError, match="'160games' is in games, which are not what is counted here: write steps"):
        configs.check(config)


def test_the_loss_bootstraps_from_what_is_seen_next():
    task = tasks.find(settings(control__hidden=(), control__discount=0.5, control__entropy=0.0))
    network = task.network(0)
    for layer, kernel in (('policy', np.zeros((4, 2))), ('value', np.ones((4, 1)))):
        network.get_layer(layer).set_weights([kernel, np.zeros(kernel.shape[1])])
    batch = {'seen': tf.ones([2, 4]), 'next': 2 * tf.ones([2, 4]), 'action': tf.constant([0, 1]),
             'reward': tf.constant([1.0, 1.0]), 'ended': tf.constant([False, True])}
    mean, total = task.loss(network, batch, 0)
    # V is 4 before and 8 after: the advantages are 1 + 0.5 * 8 - 4 = 1 and, at the end, 1 - 4 = -3.
    expected = [1 + np.log(2), 9 - 3 * np.log(2)]
    np.testing.assert_allclose([mean, total], [np.mean(expected), np.sum(expected)], rtol=1e-6)


def test_the_leading_measure_is_of_games_of_training():
    measures = tasks.find(settings(control__last=40)).measures
    assert [measure.taken_of for measure in measures.each] == ['the last 40 games of training', '', '']
    assert [measure.on_test for measure in measures.each] == [
        'reward of the last games', 'test reward with sampled actions', 'test reward with greedy actions']


def test_replicas_take_whole_games():
    with pytest.raises(UsageError, match='training.batch_size is 64, 16 games of 4 steps each, which do not divide '
                                         'among 32 replicas: give a multiple of 128, and control.environments'):
        tasks.find(settings()).feed(None, types.SimpleNamespace(num_replicas_in_sync=32))


def test_a_policy_is_served_on_what_it_sees_in_its_own_games():
    task = tasks.find(settings(control__hidden=(6,)))
    network = task.network(0)
    serving = task.serving().of(network)
    seen = serving.inputs['observation']
    # Twenty games, whose rewards are their lengths.
    assert seen.dtype == np.float32 and (np.abs(seen[:20]) <= 0.05).all()
    assert f'a mean reward of {len(seen) / 20:.1f}: what takes the same actions' in serving.words.origin
    found = serving.signatures['serving_default'].serve(network)(observation=seen)
    logits = network(seen)['policy'].numpy()
    np.testing.assert_allclose(found['probabilities'], np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(found['action'], logits.argmax(1))
    assert found['value'].shape == seen.shape[:1]
    # What is seen next in the first game follows from its first action.
    state, _, _ = cartpole.step(tf.constant(seen[:1], tf.float64), tf.cast(found['action'][:1], tf.int32))
    np.testing.assert_allclose(cartpole.observe(state)[0], seen[20], rtol=1e-4, atol=1e-5)


def test_environments_are_gymnasiums():
    gymnasium = pytest.importorskip('gymnasium')
    for name, known in environments.ENVIRONMENTS.items():
        if known.stepped == 'atari':
            # Is in no test run's environment: see requirements.txt.
            continue
        spec, game = gymnasium.spec(name), gymnasium.make(name)
        assert spec.max_episode_steps == known.limit
        assert game.observation_space.shape == known.observation
        assert game.action_space.n == known.actions
