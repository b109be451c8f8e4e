"""How an epoch of games is played, by games whose courses are known."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.data.environments import cartpole
from tf_lottery.data.environments.games import Formulas, Transition
from tf_lottery.errors import UsageError
from tf_lottery.tasks.games_feed import GamesFeed

SETTINGS, ONE = types.SimpleNamespace(batch_size=4, jit=False), tf.distribute.get_strategy()


class Clocks:
    """Two games: of one each game ends after two steps, the other's are cut after three; what is seen is the step."""

    def __init__(self, count):
        self.count = count

    def begin(self, key):
        elapsed = tf.zeros([self.count], tf.int32)
        return elapsed, tf.cast(elapsed, tf.float32)[:, None]

    def step(self, state, action, key):
        elapsed = state + 1
        first = tf.range(action.shape[0]) % 2 == 0
        transition = Transition(tf.cast(elapsed, tf.float32)[:, None], tf.where(first, 1.0, 10.0) + 100 * tf.cast(
            action, tf.float32), first & (elapsed == 2), ~first & (elapsed == 3), action)
        elapsed = tf.where(transition.over, 0, elapsed)
        return elapsed, transition, tf.cast(elapsed, tf.float32)[:, None]


def first_action(seen, training):
    return {'policy': tf.tile([[50.0, -50.0]], [seen.shape[0], 1]), 'value': seen}


def feed(last=3, judged=4):
    return GamesFeed(Clocks(2), Clocks(judged), SETTINGS, ONE, epoch=4, block=2, counts_games=True, last=last,
                     reward_scale=0.5)


def played(feed, epoch=0):
    """The batches that an epoch is learned from, and what `train` returns."""
    batches = []

    def learn(batch):
        batches.append({name: value.numpy() for name, value in batch.items()})
        return tf.constant(2.0)

    total, updates = feed.train(first_action, {'seed': tf.constant([5]), 'epoch': tf.constant([epoch])}, learn)
    return batches, (float(total), int(updates))


def test_a_batch_is_the_steps_of_all_games_and_what_came_of_them():
    (first, second, third), totals = played(feed())
    # Each batch is two steps of both games, the first one of which begins anew after its second step.
    np.testing.assert_array_equal(first['seen'], [[0], [0], [1], [1]])
    np.testing.assert_array_equal(first['next'], [[1], [1], [2], [2]])
    np.testing.assert_array_equal(first['reward'], [0.5, 5, 0.5, 5])
    np.testing.assert_array_equal(first['ended'], [False, False, True, False])
    # What was cut has not ended, and what is seen last is not what the next game begins with.
    np.testing.assert_array_equal(second['seen'], [[0], [2], [1], [0]])
    np.testing.assert_array_equal(second['next'], [[1], [3], [2], [1]])
    np.testing.assert_array_equal(second['ended'], [False, False, True, False])
    assert len(third['action']) == 4 and not third['action'].any()
    assert totals == (6.0, 3)


def test_what_was_done_is_learned_from():
    class Decided(Clocks):
        def step(self, state, action, key):
            state, transition, seen = super().step(state, action, key)
            return state, transition._replace(action=1 - action), seen

    own = GamesFeed(Decided(2), None, SETTINGS, ONE, epoch=4, block=2, counts_games=True, last=3, reward_scale=1.0)
    (first, *_), _ = played(own)
    assert (first['action'] == 1).all() and (first['chance'] < 1e-30).all()


def test_games_are_logged_in_the_order_of_their_ends():
    own = feed(last=4)
    played(own)
    # Games of two steps end at steps 2, 4 and 6, those of three at 3 and 6, the last of which is one too many.
    np.testing.assert_array_equal(own.state['rewards'], [2, 30, 2, 2])
    assert int(own.count) == 4
    assert int(own.state['environment_steps']) == 12


def test_the_last_games_are_measured():
    own = feed()
    evaluate = own.evaluators(first_action)
    with pytest.raises(UsageError, match='no game was over in an epoch of control.batches=4, .*: give more batches'):
        evaluate['validation']()
    played(own)
    assert evaluate['validation']() == {'reward': (30 + 2 + 2) / 3, 'environment_steps': 12}
    played(own, epoch=1)
    assert int(own.count) == 8
    assert evaluate['validation']() == {'reward': (30 + 2 + 2) / 3, 'environment_steps': 24}


def test_fewer_games_than_are_measured():
    own = feed(last=100)
    played(own)
    assert own.evaluators(first_action)['test']()['reward'] == (2 + 30 + 2 + 2) / 4


def test_games_of_evaluation_are_played_once():
    # Of each kind, with sampled and with likeliest actions, one game of two steps and one of three.
    own = feed()
    played(own)
    found = own.evaluators(first_action)['test']()
    assert found['sampled_reward'] == found['greedy_reward'] == 16


def test_greedy_games_take_the_likeliest_action():
    def second_action(seen, training):
        return {'policy': tf.tile([[0.0, 0.1]], [seen.shape[0], 1]), 'value': seen}

    own = feed(judged=200)
    played(own)
    found = own.evaluators(second_action)['test']()
    assert found['greedy_reward'] == 16 + 100 * 2.5
    assert 100 < found['sampled_reward'] - 16 < 160


def test_an_epoch_of_batches_is_learned_from_some_games_at_a_time():
    own = GamesFeed(Clocks(4), None, SETTINGS, ONE, epoch=4, block=2, counts_games=False, last=5, reward_scale=1.0)
    batches, totals = played(own)
    assert totals == (8.0, 4) and own.count is None
    # The first two games and then the others, of each two steps, twice.
    np.testing.assert_array_equal(batches[0]['reward'], [1, 10, 1, 10])
    np.testing.assert_array_equal([batch['seen'][:, 0] for batch in batches], [
        [0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 1, 0], [0, 2, 1, 0]])
    np.testing.assert_allclose(batches[0]['chance'], 1)
    # Of the six games that are over, two of which were played anew, the last one has taken the place of the first.
    assert int(own.state['games']) == 6 and int(own.state['environment_steps']) == 16
    np.testing.assert_array_equal(own.state['rewards'], [2, 2, 30, 30, 2])
    assert own.evaluators(first_action)['test']() == {'reward': (2 + 2 + 30 + 30 + 2) / 5}


def test_epochs_are_elements():
    elements = list(feed().training(types.SimpleNamespace(order=7), [8, 12, 16], 0).as_numpy_iterator())
    np.testing.assert_equal(elements, [{'epoch': [2], 'seed': [7]}, {'epoch': [3], 'seed': [7]}])


def test_a_share_of_the_games_is_of_the_same_games():
    every, key = Formulas(cartpole, 200, 4), tf.constant([3, 4], tf.int64)
    rows = np.array([3, 1])
    part = every.share(rows)
    (state, seen), (own_state, own_seen) = every.begin(key), part.begin(key)
    np.testing.assert_array_equal(own_seen, seen.numpy()[rows])
    _, transition, _ = every.step(state, tf.constant([0, 1, 1, 1]), key)
    _, own, _ = part.step(own_state, tf.constant([1, 1]), key)
    np.testing.assert_array_equal(own.seen, transition.seen.numpy()[rows])


@pytest.mark.parametrize(('seed', 'epoch', 'same'), [(5, 0, True), (6, 0, False), (5, 1, False)])
def test_games_are_a_function_of_seed_and_epoch(seed, epoch, same):
    def coin(seen, training):
        return {'policy': tf.zeros([seen.shape[0], 2]), 'value': seen[:, :1]}

    def states(seed, epoch):
        own = GamesFeed(Formulas(cartpole, 200, 4), None, SETTINGS, ONE, 3, 1, True, 4, 1.0)
        batches = []
        own.train(coin, {'seed': tf.constant([seed]), 'epoch': tf.constant([epoch])},
                  lambda batch: batches.append(batch['seen'].numpy()) or tf.constant(0.0))
        return np.concatenate(batches)

    first, second = states(5, 0), states(seed, epoch)
    assert np.array_equal(first, second) == same
    assert np.array_equal(first[:4], second[:4]) == same


def test_formulas_begin_anew_where_a_game_is_over_and_cut_at_the_limit():
    games, key = Formulas(cartpole, 2, 2), tf.constant([0, 0], tf.int64)
    state, seen = games.begin(key)
    falling = tf.constant([[0.0, 0, 0.3, 0], [0.0, 0, 0, 0]], tf.float64)
    (state, elapsed), transition, seen = games.step((falling, tf.constant([0, 0])), tf.constant([1, 1]), key)
    np.testing.assert_array_equal(transition.ended, [True, False])
    np.testing.assert_array_equal(elapsed, [0, 1])
    assert abs(transition.seen[0, 2] - 0.3) < 1e-6 and abs(seen[0, 2]) <= 0.05
    np.testing.assert_array_equal(transition.seen[1], seen[1])
    (state, elapsed), transition, _ = games.step((state, elapsed), tf.constant([1, 1]), tf.constant([0, 1], tf.int64))
    np.testing.assert_array_equal(transition.ended, [False, False])
    np.testing.assert_array_equal(transition.cut, [False, True])
    np.testing.assert_array_equal(elapsed, [1, 0])
