"""Environments in TensorFlow beside Gymnasium's, from its states and actions."""

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from PIL import ImageColor

from tf_lottery.data import environments
from tf_lottery.data.environments import acrobot, cartpole, drawing
from tf_lottery.data.environments.stepped import Stepped, Unstuck
from tf_lottery.errors import UsageError

STEPS = 1500
KNOWN = {'CartPole-v1': cartpole, 'Acrobot-v1': acrobot}


@pytest.fixture(scope='module', params=KNOWN)
def course(request):
    """The module of an environment, and what Gymnasium's did: arrays [steps, ...] by name."""
    game = gymnasium.make(request.param).unwrapped
    rng, rows, ended = np.random.default_rng(0), [], True
    for _ in range(STEPS):
        if ended:
            game.reset(seed=int(rng.integers(2**31)))
            # Of Acrobot few games end by chance: begin some of them near to their ends.
            if rng.random() < 0.3:
                game.state = rng.uniform(-2.3, 2.3, 4)
        state, action = np.array(game.state, np.float64), int(rng.integers(game.action_space.n))
        observation, reward, ended, _, _ = game.step(action)
        rows.append((state, np.int32(action), observation, np.float32(reward), ended))
    names = 'state', 'action', 'observation', 'reward', 'ended'
    return KNOWN[request.param], dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize('jit', [False, True])
def test_a_step_is_gymnasiums_to_the_bit(course, jit):
    environment, expected = course

    @tf.function(jit_compile=jit)
    def step(state, action):
        state, reward, ended = environment.step(state, action)
        return environment.observe(state), reward, ended

    found = step(tf.constant(expected['state']), tf.constant(expected['action']))
    assert expected['ended'].any()
    for name, array in zip(('observation', 'reward', 'ended'), found, strict=True):
        assert array.dtype == expected[name].dtype
        np.testing.assert_array_equal(array, expected[name], name)


@pytest.mark.parametrize('environment', KNOWN.values())
def test_games_begin_near_to_rest(environment):
    draws = tf.random.stateless_uniform([500, environment.DRAWS], [0, 0], dtype=tf.float64)
    reach = 0.05 if environment is cartpole else 0.1
    state = environment.begin(draws)
    assert state.dtype == tf.float64
    assert -reach <= state.numpy().min() < -0.98 * reach
    assert 0.98 * reach < state.numpy().max() <= reach
    assert environment.observe(state).shape == (500, environment.OBSERVATION)


def colours(picture):
    """Where a picture is of each colour: {colour: (top, bottom, left, right) in parts of its height and width}."""
    height, width, _ = picture.shape
    found = {}
    for colour in (drawing.INK, drawing.BLUE, drawing.ORANGE, drawing.GREY):
        near = np.abs(picture.astype(int) - ImageColor.getrgb(colour)).max(axis=-1) < 60
        rows, columns = np.nonzero(near)
        found[colour] = [rows.min() / height, rows.max() / height, columns.min() / width, columns.max() / width]
    return found


def test_pictures_show_what_is_seen():
    middle, right = (colours(cartpole.picture(np.float32([place, 0, angle, 0])))
                     for place, angle in ((0, 0), (2.4, 0.2)))
    top, bottom, *across = middle[drawing.ORANGE]
    assert top < 0.25 < 0.55 < bottom and across == pytest.approx([0.5, 0.5], abs=0.02)
    # The cart is at 2.4 of 2.7 to the right, and the pole leans beyond it.
    assert np.mean(right[drawing.INK][2:]) == pytest.approx(0.5 + 0.5 * 2.4 / 2.7, abs=0.01)
    assert right[drawing.ORANGE][3] > right[drawing.INK][3] - 0.03
    hanging, up = (colours(acrobot.picture(np.float32([np.cos(first), np.sin(first), 1, 0, 0, 0])))
                   for first in (0, np.pi))
    assert hanging[drawing.GREY][0] < hanging[drawing.BLUE][0] < hanging[drawing.ORANGE][0]
    assert up[drawing.ORANGE][0] < up[drawing.GREY][0] < up[drawing.BLUE][1]


def test_an_environment_that_is_not_installed_is_a_sentence(monkeypatch):
    monkeypatch.setitem(environments.ENVIRONMENTS, 'Moon-v0', environments.Description(
        (8,), 4, 1000, needs=('gymnasium', 'no_such_engine'), extra='control'))
    with pytest.raises(UsageError) as error:
        environments.describe('Moon-v0').games('Moon-v0', 2)
    assert str(error.value) == ("the environment Moon-v0 needs no_such_engine, which is not installed: pip install "
                                "'tf_lottery[control]'.")


@pytest.fixture(scope='module')
def stepped():
    """CartPole by Gymnasium, and what it does in a program: (first seen, transitions, seen next) of a key."""
    games = Stepped('CartPole-v1', 2, max_episode_steps=12)

    @tf.function
    def play(key):
        _, seen = games.begin(key)
        action, first, found = tf.constant([1, 0]), seen, []
        for number in range(20):
            _, transition, seen = games.step((), action if number % 3 else 1 - action, key)
            found.append((*transition[:4], seen))
        return first, tf.nest.map_structure(lambda *each: tf.stack(each), *found)

    return lambda *key: tf.nest.map_structure(lambda array: array.numpy(), play(tf.constant(key, tf.int64)))


def test_games_that_gymnasium_steps(stepped):
    first, (seen, reward, ended, cut, following) = stepped(-2, 2**40)
    assert np.abs(first).max() <= 0.05 and first.shape == (2, 4)
    assert (reward == 1).all()
    over = ended | cut
    assert over.any() and not (ended & cut).any()
    np.testing.assert_array_equal(seen[~over], following[~over])
    # What is over begins anew in the same step.
    assert (np.abs(following[over]) <= 0.05).all() and (np.abs(seen[over]).max(axis=1) > 0.05).all()
    for game in range(2):
        length = 0
        for step in range(20):
            length += 1
            assert cut[step, game] == (length == 12 and not ended[step, game])
            length = 0 if over[step, game] else length


def test_games_that_gymnasium_steps_are_a_function_of_the_key(stepped):
    again, other = stepped(-2, 2**40), stepped(-2, 2**40 + 1)
    tf.nest.map_structure(np.testing.assert_array_equal, stepped(-2, 2**40), again)
    assert not np.array_equal(again[0], other[0])


def test_games_of_gymnasium_are_pictured_to_their_ends():
    game = Stepped('CartPole-v1', 1, pictured=True)
    _, seen = game.begin(tf.constant([0, 0], tf.int64))
    first = game.picture(seen[0])
    assert (first.dtype, first.ndim, first.shape[-1]) == (np.uint8, 3, 3)
    over = False
    while not over:
        _, transition, seen = game.step((), tf.constant([1]), None)
        over = bool(transition.over[0])
    # No other game has begun.
    assert abs(transition.seen[0][2]) > 0.2
    np.testing.assert_array_equal(transition.seen, seen)
    assert (game.picture(seen[0]) != first).any()


def test_a_game_that_cannot_be_drawn_is_a_sentence(monkeypatch):
    game = Stepped('CartPole-v1', 1, pictured=True)

    def render():
        raise gymnasium.error.DependencyNotInstalled('pygame is not installed')

    monkeypatch.setattr(game._games, 'render', render)
    with pytest.raises(UsageError) as error:
        game.picture(None)
    assert str(error.value) == ('CartPole-v1 cannot be drawn here (pygame is not installed): install what is missing, '
                                'and ask for the report again.')


def test_an_action_that_is_taken_too_often_is_replaced():
    games = Unstuck('Acrobot-v1', 3, rows=np.array([0, 2]), max_episode_steps=40)
    state, _ = games.begin(tf.constant([0, 0], tf.int64))
    done = []
    for number in range(44):
        wish = tf.constant([1, 0 if number == 20 else 1])
        state, transition, _ = games.step(state, wish, tf.constant([0, number], tf.int64))
        done.append(transition.action.numpy())
    first, second = np.transpose(done)
    # Thirty are as they are wished, then others come until the game is over; the second game has begun to count anew.
    assert (first[:30] == 1).all() and len(set(first[30:40])) > 1 and (first[40:] == 1).all()
    assert (np.delete(second, 20) == 1).all() and second[20] == 0


def test_a_share_of_the_games_that_gymnasium_steps():
    games, rows, key = Stepped('CartPole-v1', 4), np.array([3, 1]), tf.constant([0, 5], tf.int64)
    part = games.share(rows)
    assert part.count == 4
    (_, seen), (_, own_seen) = games.begin(key), part.begin(key)
    np.testing.assert_array_equal(own_seen, seen.numpy()[rows])
    transition, own = games.step((), tf.constant([1, 0, 1, 0]), key)[1], part.step((), tf.constant([0, 0]), key)[1]
    np.testing.assert_array_equal(own.seen, transition.seen.numpy()[rows])
    assert own.reward.shape == (2,)


def test_screens_of_atari():
    pytest.importorskip('ale_py')
    from tf_lottery.data.environments.atari import Screens

    class Game(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(0, 255, (210, 160, 3), np.uint8)
        action_space = gymnasium.spaces.Discrete(2)

        def screen(self, number):
            return np.arange(210 * 160 * 3).reshape(210, 160, 3).astype(np.uint8) // 2 + np.uint8(number)

        def reset(self, **options):
            self.number = 1
            return self.screen(1), {}

        def step(self, action):
            self.number += 1
            return self.screen(self.number), 1.0, False, False, {}

    game = Screens(Game())
    seen = game.reset()[0]
    assert seen.shape == (105, 80, 12) and not seen[..., :9].any()
    np.testing.assert_array_equal(seen[..., 9:], game.env.screen(1)[::2, ::2])
    for number in range(2, 7):
        seen = game.step(0)[0]
    for place, number in enumerate(range(3, 7)):
        np.testing.assert_array_equal(seen[..., 3 * place:3 * place + 3], game.env.screen(number)[::2, ::2])
    assert not game.reset()[0][..., :9].any()
