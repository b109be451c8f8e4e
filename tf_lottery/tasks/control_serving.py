"""How a policy is served: what is seen in; probabilities of the actions, the value and the likeliest action out."""

import numpy as np
import tensorflow as tf

from tf_lottery.data.environments import games
from tf_lottery.tasks import a2c
from tf_lottery.tasks.task import CALIBRATION, Serving, Signature, Words

# Games of its own that an export is verified on, and steps of them where no time limit ends them.
GAMES, _STEPS = 20, 25


def serving(environment, name, description, network):
    """How a policy is served, verified on what it sees in games of its own, with the likeliest action at each step.

    A file that takes the same actions there plays the same games, and so has the same reward.

    Args:
      environment: GAMES games, `games.Formulas` or another class like it.
      name: str, what the environment is called.
      description: environments.Description.
      network: the policy, with its weights.

    Returns:
      Serving, whose 'serving_default' takes `observation` float32 [n, ...] and returns `probabilities` float32 [n,
      actions], `value` float32 [n], of training's rewards, and `action` int64 [n], the likeliest one.
    """
    seen, rewards = play(environment, network, description.limit or _STEPS)
    came = (f'of a mean reward of {rewards.mean(dtype=np.float64):.1f}: what takes the same actions plays the same '
            'games' if description.limit else f'in the first {_STEPS} steps of each')
    shape = ', '.join(map(str, ('n', *description.observation)))
    few = np.random.default_rng(0).permutation(len(seen))[:CALIBRATION]
    return Serving(
        {'observation': seen}, {'observation': seen[few]}, ('policy',),
        signatures={'serving_default': Signature(_serve, {'observation': seen}, _answers,
                                                 largest={'action': 'probabilities'})},
        described={'input': f'observation: float32 [{shape}], as {name} shows it',
                   'output': f'probabilities: float32 [n, {description.actions}]; value: float32 [n]; action: int64 '
                             '[n]'},
        words=Words('observations', f'Environment: `{name}`. The examples are what the network saw in {GAMES} games of '
                    f'its own, with the likeliest action at each step, {came}.',
                    limits=f'It knows {name}, and nothing else.'))


def play(environment, network, most):
    """Plays a game in each environment, always from the same beginnings, with the likeliest action at each step.

    Args:
      environment, network: as of `serving`.
      most: int, the steps after which all are left.

    Returns:
      (float32 array [n, ...], float32 array [games]): what was seen, step by step, and the rewards.
    """
    step = likeliest(environment, network)
    state, seen = environment.begin(games.key(0, 0, 0, games.GAMES))
    playing, rewards = np.ones(environment.count, bool), np.zeros(environment.count, np.float32)
    recorded, number = [], 0
    while playing.any() and number < most:
        recorded.append(seen.numpy()[playing])
        number += 1
        state, transition, seen = step(state, seen, tf.constant(number))
        rewards += np.where(playing, transition.reward, np.float32(0))
        playing &= ~transition.over.numpy()
    return np.concatenate(recorded), rewards


def likeliest(environment, network):
    """A step of games with the likeliest actions: function of their state, what is seen, and the step's number, int32
    scalar, that returns what `environment.step` does."""
    @tf.function
    def step(state, seen, number):
        action = a2c.greedy(network(seen, training=False)['policy'])
        return environment.step(state, action, games.key(0, 0, number, games.GAMES))

    return step


def _answers(outputs):
    return {'probabilities': tf.nn.softmax(outputs['policy']).numpy(), 'value': outputs['value'][:, 0]}


def _serve(network):
    shape = network.inputs[0].shape[1:]

    @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.float32, name='observation')])
    def inputs(observation):
        outputs = network(observation, training=False)
        return {'probabilities': tf.nn.softmax(outputs['policy']), 'value': outputs['value'][:, 0],
                'action': tf.argmax(outputs['policy'], axis=-1)}

    return inputs
