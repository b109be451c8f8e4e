"""Games that a network learns from while it plays them, and that it is judged by."""

import functools

import numpy as np
import tensorflow as tf

from tf_lottery.data.environments import games
from tf_lottery.errors import UsageError
from tf_lottery.runtime.distribute import per_replica
from tf_lottery.tasks import a2c
from tf_lottery.training.feeds import Feed
from tf_lottery.training.order import quiet_options

# The seed of evaluation, which is none of a replicate's: all networks begin the same games with the same chances.
_JUDGED = -1


class GamesFeed(Feed):
    """Games that are played by the network that is trained; its methods are those of `feeds.MemoryFeed`.

    Its steps are games, or optimizer steps: an element of `training` is an epoch of them. At its start all environments
    begin anew, by (seed, epoch), and it is over once so many games or steps are; games that are not over by then are
    left. Whatever is drawn is a function of (seed, epoch, step), so that a run that goes on at an epoch's end is the
    same to the bit.

    Args:
      environment: `games.Formulas`, or another class like it: games that are played side by side.
      judged: the same, of games to evaluate by, or None for no such games: one half with actions by their
        probabilities, the other with the likeliest ones.
      settings: trainer.Settings.
      strategy: a tf.distribute.Strategy, each of whose replicas plays its share of the games.
      epoch: int, the games of an epoch, or its optimizer steps.
      block: int, the steps of each game that are played before they are learned from, in batches of some of the games.
      counts_games: bool, whether steps are games.
      last: int, the mean reward of so many of the last games is measured; at least as many as are played at a time.
      reward_scale: float, that rewards are multiplied by to be trained on.

    Attributes:
      hosts, steps_per_epoch, blocks: as of MemoryFeed.
      together: bool, whether replicas take an epoch together, for it is over when so many games of all of them are.
      count: int64 variable, the games so far, where these are the steps.
      state: `environment_steps`, int64, those so far; `games`, int64, those that are over; `rewards`, float32 [last],
        of the last ones, NaN before there were as many: that of game g is in the place g % last.
    """

    hosts, blocks, whole = 1, True, True

    def __init__(self, environment, judged, settings, strategy, epoch, block, counts_games, last, reward_scale):
        self.steps_per_epoch = epoch
        self._environment, self._judged, self._settings = environment, judged, settings
        self._strategy, self._replicas = strategy, strategy.num_replicas_in_sync
        self.together = self._replicas > 1
        # What a block is learned from in: batches of some of the games.
        self._rounds = environment.count * block // settings.batch_size
        # Of each replica of this process, what `_own` returns.
        self._shares = {}
        self._block, self._reward_scale = block, reward_scale
        if counts_games:
            self.count = tf.Variable(0, trainable=False, dtype=tf.int64, name='count')
        self._games = tf.Variable(0, trainable=False, dtype=tf.int64, name='games')
        self._steps = tf.Variable(0, trainable=False, dtype=tf.int64, name='environment_steps')
        self._rewards = tf.Variable(tf.fill([last], np.float32(np.nan)), trainable=False, name='rewards')
        self.state = {'environment_steps': self._steps, 'games': self._games, 'rewards': self._rewards}

    def training(self, seeds, boundaries, shift):
        """What `fit` takes: the epochs from the first boundary to the last, which all are ends of epochs.

        Returns:
          (Distributed) dataset of dicts of `epoch` and `seed`, int32 [1] for each replica.
        """
        del shift
        first, last = (boundary // self.steps_per_epoch for boundary in (boundaries[0], boundaries[-1]))

        def own(host, hosts):
            del host
            epochs = np.repeat(np.arange(first, last, dtype=np.int32)[:, None], self._replicas // hosts, axis=1)
            elements = {'epoch': epochs, 'seed': np.full_like(epochs, seeds.order)}
            return tf.data.Dataset.from_tensor_slices(elements).with_options(quiet_options(tf.data.Options()))

        return per_replica(self._strategy, own, self._replicas)

    def train(self, network, element, learn):
        """Plays an epoch of games and learns from each batch of steps: in the training step of one replica, and of
        several in the program around theirs.

        Args:
          network: the wrapped model.
          element: of `training`.
          learn: function that takes an optimizer step by a batch, and returns its mean loss.

        Returns:
          (float32 scalar, int32 scalar): the sum of the losses, and the number of optimizer steps.
        """
        seed, epoch = (self._strategy.experimental_local_results(element[name])[0][0] for name in ('seed', 'epoch'))
        count, last = self._environment.count, self._rewards.shape[0]
        before = tf.cast(self._games % last, tf.int32)
        most = 2**30 if self.count is None else self.steps_per_epoch

        def going(updates, played, finished, rewards, course):
            return (updates if self.count is None else finished) < self.steps_per_epoch

        def body(updates, played, finished, rewards, course):
            course, ends = self._on_each(functools.partial(self._block_of, network, learn), seed, epoch, played, course)
            for over, reward in self._of_all(ends):
                # Games that are over in the same step count in the order of their environments, as far as wanted.
                order = finished + tf.cumsum(tf.cast(over, tf.int32))
                place = tf.where(over & (order <= most), (before + order - 1) % last, last)
                rewards = tf.tensor_scatter_nd_update(rewards, place[:, None], reward)
                finished += tf.reduce_sum(tf.cast(over, tf.int32))
            return updates + self._rounds, played + self._block, finished, rewards, course

        # What does not count lands in the last place.
        start = (tf.constant(0), tf.constant(0), tf.constant(0), tf.concat([self._rewards, [0.0]], axis=0),
                 self._on_each(self._begun, seed, epoch))
        updates, played, finished, rewards, course = tf.while_loop(going, body, start)
        self._games.assign_add(tf.cast(tf.minimum(finished, most), tf.int64))
        self._steps.assign_add(tf.cast(played, tf.int64) * count)
        self._rewards.assign(rewards[:last])
        if self.count is not None:
            self.count.assign(tf.cast(epoch + 1, tf.int64) * self.steps_per_epoch)
        return self._added(course[0]) / self._replicas, updates

    def _on_each(self, function, *arguments):
        """What a function returns on each replica; where there is one, the training step is its own."""
        if not self.together:
            return function(*arguments)
        if self._settings.jit:
            function = tf.function(function, jit_compile=True)
        return self._strategy.run(function, arguments)

    def _added(self, values):
        """The sum of what `_on_each` returned."""
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None) if self.together else values

    def _of_all(self, ends):
        """What `_block_of` has found of the ends of games, of those of all replicas: list of (bool [games], float32
        [games]), of each step which games are over, and their rewards so far."""
        if not self.together:
            return ends
        return [(end[:, 0] > 0, end[:, 1]) for end in tf.unstack(self._added(ends), axis=1)]

    def _own(self):
        """On a replica, (games, int array [n]): those that it plays, and which of all they are.

        A batch is learned from by all replicas, each of which has its share of the batch's games.
        """
        if not self.together:
            return self._environment, np.arange(self._environment.count)
        # Each replica of a process is traced for itself, and so knows its number.
        replica = int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))
        if replica not in self._shares:
            rows = np.arange(self._environment.count).reshape(self._rounds, self._replicas, -1)[:, replica].ravel()
            self._shares[replica] = self._environment.share(rows), rows
        return self._shares[replica]

    def _begun(self, seed, epoch):
        """On a replica, the course of games that begin.

        Returns:
          (float32 scalar, state, float32 [n, ...], float32 [n]): the sum of the losses so far, the state of the
          environment, what is seen, and the rewards of each game so far.
        """
        environment, rows = self._own()
        state, seen = environment.begin(games.key(seed, epoch, 2**31 - 1, games.GAMES))
        return tf.constant(0.0), state, seen, tf.zeros([len(rows)])

    def _block_of(self, network, learn, seed, epoch, played, course):
        """On a replica, plays a block of steps of its games and learns from them.

        Returns:
          (the course, ends): the latter as of `_of_all`; where there are several replicas, float32 [games, block, 2] of
          the same numbers of all games, among which those of others have zeros.
        """
        environment, rows = self._own()
        total, state, seen, rewards = course
        steps, ends = [], []
        for number in range(self._block):
            step, state, seen, transition = self._played(network, environment, rows, state, seen, seed, epoch,
                                                         played + number)
            steps.append(step)
            rewards += transition.reward
            ends.append((transition.over, rewards))
            rewards = tf.where(transition.over, np.float32(0), rewards)
        width = len(rows) // self._rounds
        for first in range(0, len(rows), width):
            total += learn(tf.nest.map_structure(
                lambda *each, first=first: tf.concat([one[first:first + width] for one in each], axis=0), *steps))
        if self.together:
            own = tf.stack([tf.stack([tf.cast(over, tf.float32), reward], axis=-1) for over, reward in ends], axis=1)
            ends = tf.scatter_nd(rows[:, None], own, [self._environment.count, *own.shape[1:]])
        return (total, state, seen, rewards), ends

    def _played(self, network, environment, rows, state, seen, seed, epoch, step):
        """A step of each game: as a batch has it, the state and what is seen after it, and games.Transition."""
        draws = tf.random.stateless_uniform([environment.count], games.key(seed, epoch, step, games.ACTIONS))
        logits = network(seen, training=False)['policy']
        action = a2c.chosen(logits, tf.gather(draws, rows) if self.together else draws)
        state, transition, following = environment.step(state, action, games.key(seed, epoch, step, games.GAMES))
        taken = {'seen': seen, 'next': transition.seen, 'action': transition.action,
                 'chance': tf.gather(tf.nn.softmax(logits), transition.action, batch_dims=1),
                 'ended': transition.ended, 'cut': transition.cut, 'reward': self._reward_scale * transition.reward}
        return taken, state, following, transition

    def batch(self, element, seed):
        """In the training step, the batch that is learned from: what was played, as it is."""
        del seed
        return element

    def evaluators(self, network):
        """dict from 'validation', the last games of training, and 'test', other games, to what is measured there."""
        played = self._judged and tf.function(lambda: self._judge(network), jit_compile=self._settings.jit)

        def validation():
            return {'reward': self._last_reward(), 'environment_steps': int(self._steps.numpy())}

        def test():
            if not played:
                return {'reward': self._last_reward()}
            sampled, greedy = np.split(played().numpy(), 2)
            return {'reward': self._last_reward(), 'sampled_reward': float(sampled.mean(dtype=np.float64)),
                    'greedy_reward': float(greedy.mean(dtype=np.float64))}

        return {'validation': validation, 'test': test}

    def _last_reward(self):
        """float, the mean reward of the last games of training.

        Raises:
          UsageError: none is over.
        """
        rewards = self._rewards.numpy()
        rewards = rewards[~np.isnan(rewards)].astype(np.float64)
        if not rewards.size:
            raise UsageError(f'no game was over in an epoch of control.batches={self.steps_per_epoch}, so that there '
                             'is no reward to measure: give more batches.')
        return float(rewards.mean())

    def _judge(self, network):
        """The rewards of games with actions by their probabilities, and of as many with the likeliest ones."""
        count = self._judged.count
        half = count // 2

        def body(step, state, seen, playing, rewards):
            logits = network(seen, training=False)['policy']
            draws = tf.random.stateless_uniform([half], games.key(_JUDGED, 0, step, games.ACTIONS))
            action = tf.concat([a2c.chosen(logits[:half], draws), a2c.greedy(logits[half:])], 0)
            state, transition, seen = self._judged.step(state, action, games.key(_JUDGED, 0, step, games.GAMES))
            rewards += tf.where(playing, transition.reward, np.float32(0))
            return step + 1, state, seen, playing & ~transition.over, rewards

        state, seen = self._judged.begin(games.key(_JUDGED, 0, 2**31 - 1, games.GAMES))
        start = tf.constant(0), state, seen, tf.ones([count], tf.bool), tf.zeros([count])
        return tf.while_loop(lambda step, state, seen, playing, rewards: tf.reduce_any(playing), body, start)[-1]

    def fingerprint(self):
        """Of games there is nothing but what the config says."""
        return []
