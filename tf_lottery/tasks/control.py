"""The task to act in an environment so that the reward is high (Yu et al., 1906.02768, section 3.3)."""

import functools

from ml_collections import config_dict

from tf_lottery import values
from tf_lottery.data import environments
from tf_lottery.errors import UsageError
from tf_lottery.models import actor_critic
from tf_lottery.tasks.measure import Measure, Measures
from tf_lottery.tasks.task import Facts, Serving, Task, Weight

ABOUT = 'control'


def add_defaults(config):
    """Adds the keys of the task, with their defaults, to a config."""
    config.control = config_dict.ConfigDict()
    config.control.environment = 'CartPole-v0'
    # The games of an epoch.
    config.control.games = 160
    # How many are played side by side; of `training.batch_size` steps each of them takes the same share.
    config.control.environments = 32
    # The units of the hidden layers that policy and value share.
    config.control.hidden = (128, 128, 128)
    config.control.algorithm = 'a2c'
    config.control.discount = 0.99
    # How much the entropy of the policy counts in the loss.
    config.control.entropy = 0.01
    # By what rewards are multiplied to be trained on; those that are reported are as they are.
    config.control.reward_scale = 0.01
    # Networks are judged by the mean reward of so many of the last games of training.
    config.control.last = 100
    # Games that are played to evaluate, with actions by their probabilities and again with the likeliest ones.
    config.control.evaluation_games = 100


_SHARE = values.number(lambda share: 0 <= share <= 1, 'give a number in [0, 1]')

# What each of the keys may hold, alone.
VALUES = {
    'control.environment': values.text('give the name of an environment'),
    'control.games': values.whole(1, 1_000_000),
    'control.environments': values.whole(1, 10_000),
    'control.hidden': values.several(values.whole(1, 100_000), '(128, 128, 128)'),
    'control.algorithm': values.one_of(('a2c',)),
    'control.discount': _SHARE,
    'control.entropy': values.number(lambda number: number >= 0, 'give a number of 0 or more'),
    'control.reward_scale': values.number(lambda number: number > 0, 'give a number above 0'),
    'control.last': values.whole(1, 1_000_000),
    'control.evaluation_games': values.whole(1, 10_000),
}

# Keys of other kinds that this one reads, too.
READS = ()

# Undiscounted, of a game; the first one is the paper's.
MEASURES = Measures((
    Measure('reward', 'reward of the last games', higher=True, digits=1),
    Measure('sampled_reward', 'reward with sampled actions', higher=True, digits=1),
    Measure('greedy_reward', 'reward with greedy actions', higher=True, digits=1)), None,
    courses=(('step', 'games'), ('validation_environment_steps', 'environment steps')))


def task(config, data_dir=None):
    """Returns the Task of a config."""
    del data_dir
    return ControlTask(config)


class ControlTask(Task):
    """To act in an environment, learned from games.

    Args:
      config: ConfigDict with the keys of `add_defaults`, their values of the kinds of VALUES.

    Raises:
      UsageError: the config names what there is not, or what does not fit together.
    """

    measures = MEASURES

    def __init__(self, config):
        self._how, self._batch_size = config.control, config.training.batch_size
        self.environment = environments.describe(self._how.environment)
        if self._batch_size % self._how.environments:
            raise UsageError(f'training.batch_size is {self._batch_size}, steps of control.environments='
                             f'{self._how.environments} games side by side: give a multiple of these.')

    @property
    def _network(self):
        """What the network is built by."""
        return self.environment.observation, self.environment.actions, tuple(self._how.hidden)

    def facts(self, variables='kernels'):
        shapes = actor_critic.prunable_shapes(*self._network, variables)
        return Facts(
            about=f'{self._how.algorithm} on {self._how.environment}',
            weights={name: Weight(*known) for name, known in shapes.items()}, train=0, validation=0,
            test=2 * self._how.evaluation_games, compiles=True,
            compilable=self.environment.formulas is not None, games=self._how.games)

    def network(self, seed):
        return actor_critic.build(*self._network, seed)

    def require_optimizer(self):
        raise UsageError("training.optimizer is 'own', the one that a model of your own was compiled with: give "
                         'another, or a task of your own.')

    def optimizer(self):
        self.require_optimizer()

    def feed(self, settings, strategy, data_dir=None):
        from tf_lottery.tasks.games_feed import GamesFeed

        replicas = strategy.num_replicas_in_sync
        if replicas > 1:
            raise UsageError(f'{self._how.environment} is played on one device, for an epoch is over when so many '
                             f'games are, and there are {replicas} replicas: leave --strategy out.')
        if settings.jit and not self.environment.formulas:
            raise UsageError(f'{self._how.environment} is stepped by Gymnasium, which XLA cannot compile: leave --jit '
                             'at auto or off.')
        how = self._how
        return GamesFeed(self._games(how.environments), self._games(2 * how.evaluation_games), settings, how.games,
                         how.last, how.reward_scale)

    def _games(self, count):
        return self.environment.games(self._how.environment, count)

    def inputs(self, batch):
        return batch['seen']

    def loss(self, network, batch, seed):
        import tensorflow as tf

        from tf_lottery.tasks import a2c

        del seed
        outputs, following = network(batch['seen'], training=True), network(batch['next'], training=False)
        losses = a2c.losses(outputs, following['value'], batch, self._how.discount, self._how.entropy)
        # What is minimised is the sum (FLARE): RMSprop does not feel it, but for epsilon.
        return tf.reduce_mean(losses), tf.reduce_sum(losses)

    def judge(self):
        raise UsageError(f'{self._how.environment} is judged by games, not by examples.')

    def serving(self, data_dir=None):
        from tf_lottery.tasks import control_serving

        games = self._games(control_serving.GAMES)
        return Serving({}, {}, of=functools.partial(
            control_serving.serving, games, self._how.environment, self.environment))
