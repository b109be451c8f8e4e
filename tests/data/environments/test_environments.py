"""Environments in TensorFlow beside Gymnasium's, from its states and actions."""

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.data.environments import acrobot, cartpole

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
