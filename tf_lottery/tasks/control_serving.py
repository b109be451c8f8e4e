"""How a policy is served: what is seen in; probabilities of the actions, the value and the likeliest action out."""

import numpy as np
import tensorflow as tf

from tf_lottery.data.environments import games
from tf_lottery.tasks.task import CALIBRATION, Serving, Signature, Words

# Observations that an export is verified on: of so many games, so many steps of each.
GAMES, _STEPS = 50, 20


def serving(environment, name, description):
    """How a policy is served, verified on what is seen in games with random actions.

    Args:
      environment: GAMES games, `games.Formulas` or another class like it.
      name: str, what the environment is called.
      description: environments.Description.

    Returns:
      Serving, whose 'serving_default' takes `observation` float32 [n, ...] and returns `probabilities` float32 [n,
      actions], `value` float32 [n], of training's rewards, and `action` int64 [n], the likeliest one.
    """
    seen = record(environment, description.actions)
    shape = ', '.join(map(str, ('n', *description.observation)))
    return Serving(
        {'observation': seen}, {'observation': seen[:CALIBRATION]}, ('policy',),
        signatures={'serving_default': Signature(_serve, {'observation': seen}, _answers,
                                                 largest={'action': 'probabilities'})},
        described={'input': f'observation: float32 [{shape}], as {name} shows it',
                   'output': f'probabilities: float32 [n, {description.actions}]; value: float32 [n]; action: int64 '
                             '[n]'},
        words=Words('observations', f'Environment: `{name}`.', limits=f'It knows {name}, and nothing else.'))


def record(environment, actions):
    """What is seen in games with random actions: float32 [n, ...], always the same."""
    @tf.function
    def step(state, action, number):
        state, _, seen = environment.step(state, action, games.key(0, 0, number, games.GAMES))
        return state, seen

    rng = np.random.default_rng(0)
    state, seen = environment.begin(games.key(0, 0, 0, games.GAMES))
    recorded = [seen]
    for number in range(1, _STEPS):
        state, seen = step(state, tf.constant(rng.integers(actions, size=GAMES), tf.int32), tf.constant(number))
        recorded.append(seen)
    # One game after the other would make the first ones, by which int8 takes its ranges, those of a few games.
    return np.concatenate(recorded)


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
