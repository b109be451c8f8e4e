"""The task to act in an environment so that the reward is high (Yu et al., 1906.02768, section 3.3)."""

import dataclasses
import functools
import importlib
import math

from ml_collections import config_dict

from tf_lottery import values
from tf_lottery.data import environments
from tf_lottery.errors import UsageError
from tf_lottery.models import actor_critic
from tf_lottery.tasks.measure import Measure, Measures
from tf_lottery.tasks.task import Facts, Play, Serving, Task, Weight

ABOUT = 'control'

# Of an epoch of CartPole (1906.02768).
_GAMES = 160


def add_defaults(config):
    """Adds the keys of the task, with their defaults, to a config."""
    config.control = config_dict.ConfigDict()
    config.control.environment = 'CartPole-v0'
    # The games of an epoch; or its batches, where these are counted and not games.
    config.control.games = _GAMES
    config.control.batches = config_dict.placeholder(int)
    # How many are played side by side, and how many steps of each before they are learned from.
    config.control.environments = 32
    config.control.block = 4
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


# The files of this folder that have the loss of each, and how often the network runs forwards for a step, beside what
# any example takes: to act, and in `a2c` for the value of what is seen next.
PASSES = {'a2c': 2, 'a2c_blocks': 1}
ALGORITHMS = tuple(PASSES)

_SHARE = values.number(lambda share: 0 <= share <= 1, 'give a number in [0, 1]')

# What each of the keys may hold, alone.
VALUES = {
    'control.environment': values.text('give the name of an environment'),
    'control.games': values.whole(1, 1_000_000),
    'control.batches': values.optional(values.whole(1, 1_000_000)),
    'control.environments': values.whole(1, 10_000),
    'control.block': values.whole(1, 1_000),
    'control.hidden': values.several(values.whole(1, 100_000), '(128, 128, 128)'),
    'control.algorithm': values.one_of(ALGORITHMS),
    'control.discount': _SHARE,
    'control.entropy': values.number(lambda number: number >= 0, 'give a number of 0 or more'),
    'control.reward_scale': values.number(lambda number: number > 0, 'give a number above 0'),
    'control.last': values.whole(1, 1_000_000),
    'control.evaluation_games': values.whole(0, 10_000),
}

# Keys of other kinds that this one reads, too.
READS = ()

# Undiscounted, of a game; the first one is the paper's, the others are of games that are played to evaluate.
_REWARD = Measure('reward', 'reward of the last games', higher=True, digits=1)
_PLAYED = (Measure('sampled_reward', 'reward with sampled actions', higher=True, digits=1),
           Measure('greedy_reward', 'reward with greedy actions', higher=True, digits=1))


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

    def __init__(self, config):
        how = self._how = config.control
        self._batch_size = config.training.batch_size
        self.environment = environments.describe(how.environment)
        if self._batch_size % how.block or how.environments * how.block % self._batch_size:
            raise UsageError(f'training.batch_size is {self._batch_size}, but {how.environments} games side by side '
                             f'(control.environments) of {how.block} steps each (control.block) are '
                             f'{how.environments * how.block} steps: give these, or a share of them that is whole '
                             'games.')
        if how.batches is not None and how.games != _GAMES:
            raise UsageError(f'control.games is {how.games}, and control.batches={how.batches} are the epoch instead: '
                             'leave one of them out.')
        rounds = how.environments * how.block // self._batch_size
        if how.batches is not None and how.batches % rounds:
            raise UsageError(f'control.batches is {how.batches}, and what is played at a time makes {rounds} batches: '
                             'give a multiple of these.')
        if how.last < how.environments:
            raise UsageError(f'control.last is {how.last}, and control.environments={how.environments} games may be '
                             'over at once: give as many or more.')
        if how.algorithm == 'a2c_blocks' and how.block < 2:
            raise UsageError("control.block is 1, and control.algorithm='a2c_blocks' takes the last step of a block "
                             'for its value only: give 2 or more.')

    @property
    def measures(self):
        counted = 'games' if self._how.batches is None else 'training step'
        reward = dataclasses.replace(_REWARD, taken_of=f'the last {self._how.last} games of training')
        return Measures((reward, *(_PLAYED if self._how.evaluation_games else ())), None, courses=(
            ('step', counted), ('validation_environment_steps', 'environment steps')))

    @property
    def _network(self):
        """What the network is built by."""
        return self.environment.observation, self.environment.actions, tuple(self._how.hidden)

    def facts(self, variables='kernels'):
        shapes = actor_critic.prunable_shapes(*self._network, variables)
        return Facts(
            about=f'{self._how.algorithm} on {self._how.environment}',
            weights={name: Weight(*known) for name, known in shapes.items()},
            train=(self._how.batches or 0) * self._batch_size, validation=0, test=2 * self._how.evaluation_games,
            compiles=True, compilable=self.environment.formulas is not None,
            games=self._how.games if self._how.batches is None else None, whole=True, play=self._play,
            films=True)

    @property
    def _play(self):
        """Play, of an epoch of so many batches, or that takes longest where all of its games do."""
        how, environment = self._how, self.environment
        if how.batches is None:
            steps = math.ceil(how.games / how.environments) * environment.longest
            epoch = math.ceil(steps / how.block) * how.block * how.environments
        else:
            epoch = how.batches * self._batch_size
        return Play(epoch, how.batches is not None, 2 * how.evaluation_games * environment.longest,
                    PASSES[how.algorithm], environment.seconds, environment.frames)

    def network(self, seed):
        return actor_critic.build(*self._network, seed)

    def require_data(self, data_dir=None):
        del data_dir
        self.environment.require(self._how.environment)

    def feed(self, settings, strategy, data_dir=None):
        from tf_lottery.tasks.games_feed import GamesFeed

        how, replicas = self._how, strategy.num_replicas_in_sync
        if self._batch_size % (how.block * replicas):
            raise UsageError(f'training.batch_size is {self._batch_size}, {self._batch_size // how.block} games of '
                             f'{how.block} steps each, which do not divide among {replicas} replicas: give a multiple '
                             f'of {how.block * replicas}, and control.environments whose steps are a multiple of it.')
        if settings.jit and not self.environment.formulas:
            raise UsageError(f'{self._how.environment} is stepped by Gymnasium, which XLA cannot compile: leave --jit '
                             'at auto or off.')
        judged = self._games(2 * how.evaluation_games) if how.evaluation_games else None
        return GamesFeed(self._games(how.environments), judged, settings, strategy, how.batches or how.games, how.block,
                         how.batches is None, how.last, how.reward_scale)

    def _games(self, count):
        return self.environment.games(self._how.environment, count)

    def inputs(self, batch):
        return batch['seen']

    def loss(self, network, batch, seed):
        del seed
        return importlib.import_module(f'tf_lottery.tasks.{self._how.algorithm}').loss(network, batch, self._how)

    def judge(self):
        raise UsageError(f'{self._how.environment} is judged by games, not by examples.')

    def serving(self, data_dir=None):
        from tf_lottery.tasks import control_serving

        games = self._games(control_serving.GAMES)
        return Serving({}, {}, of=functools.partial(
            control_serving.serving, games, self._how.environment, self.environment))

    def film(self, networks):
        from tf_lottery.tasks import control_film

        name = self._how.environment
        return control_film.film(self.environment.games(name, 1, pictured=True), name, networks)
