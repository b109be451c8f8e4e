"""Games that a network learns from while it plays them, and that it is judged by."""

import contextlib

import numpy as np
import tensorflow as tf

from tf_lottery.data.environments import games
from tf_lottery.tasks import a2c
from tf_lottery.training.feeds import Feed
from tf_lottery.training.order import quiet_options

# The seed of evaluation, which is none of a replicate's: all networks begin the same games with the same chances.
_JUDGED = -1


class GamesFeed(Feed):
    """Games that are played by the network that is trained; its methods are those of `feeds.MemoryFeed`.

    Its steps are games: an element of `training` is an epoch of them. At its start all environments begin anew, by
    (seed, epoch), and it is over once so many games are; those that are not over by then are left. Whatever is drawn
    is a function of (seed, epoch, step), so that a run that goes on at an epoch's end is the same to the bit.

    Args:
      environment: `games.Formulas`, or another class like it: games that are played side by side.
      judged: the same, of games to evaluate by: one half with actions by their probabilities, the other with the
        likeliest ones.
      settings: trainer.Settings.
      epoch: int, the games of an epoch.
      last: int, the mean reward of so many of the last games is measured.
      reward_scale: float, that rewards are multiplied by to be trained on.

    Attributes:
      hosts, steps_per_epoch, blocks: as of MemoryFeed.
      count: int64 variable, the games so far.
      state: `environment_steps`, int64, those so far; `rewards`, float32 [last], of the last games, NaN before there
        were as many.
    """

    hosts, blocks = 1, True

    def __init__(self, environment, judged, settings, epoch, last, reward_scale):
        self.steps_per_epoch = epoch
        self._environment, self._judged, self._settings = environment, judged, settings
        self._reward_scale = reward_scale
        self.count = tf.Variable(0, trainable=False, dtype=tf.int64, name='games')
        self._steps = tf.Variable(0, trainable=False, dtype=tf.int64, name='environment_steps')
        self._rewards = tf.Variable(tf.fill([last], np.float32(np.nan)), trainable=False, name='rewards')
        self.state = {'environment_steps': self._steps, 'rewards': self._rewards}

    def training(self, seeds, boundaries, shift):
        """What `fit` takes: the epochs from the first boundary to the last, which all are ends of epochs.

        Returns:
          tf.data.Dataset of dicts of `epoch` and `seed`, int32 scalars.
        """
        del shift
        first, last = (boundary // self.steps_per_epoch for boundary in (boundaries[0], boundaries[-1]))
        epochs = np.arange(first, last, dtype=np.int32)
        elements = {'epoch': epochs, 'seed': np.full_like(epochs, seeds.order)}
        return tf.data.Dataset.from_tensor_slices(elements).with_options(quiet_options(tf.data.Options()))

    def train(self, network, element, learn):
        """In the training step, plays an epoch of games and learns from each batch of steps.

        Args:
          network: the wrapped model.
          element: of `training`.
          learn: function that takes an optimizer step by a batch, and returns its mean loss.

        Returns:
          (float32 scalar, int32 scalar): the sum of the losses, and the number of optimizer steps.
        """
        seed, epoch, count = element['seed'], element['epoch'], self._environment.count
        length = self._settings.batch_size // count

        def body(updates, total, course, finished, rewards):
            steps = []
            for number in range(length):
                step, course, over = self._played(network, course, seed, epoch, length * updates + number)
                steps.append(step)
                # Games that are over in the same step count in the order of their environments, as far as wanted.
                place = finished + tf.cumsum(tf.cast(over, tf.int32))
                place = tf.where(over & (place <= self.steps_per_epoch), place - 1, self.steps_per_epoch)
                rewards = tf.tensor_scatter_nd_update(rewards, place[:, None], course[2])
                course = *course[:2], tf.where(over, np.float32(0), course[2])
                finished += tf.reduce_sum(tf.cast(over, tf.int32))
            batch = tf.nest.map_structure(lambda *each: tf.concat(each, axis=0), *steps)
            return updates + 1, total + learn(batch), course, finished, rewards

        state, seen = self._environment.begin(games.key(seed, epoch, 2**31 - 1, games.GAMES))
        # What is not among the games of the epoch lands in the last place.
        start = (tf.constant(0), tf.constant(0.0), (state, seen, tf.zeros([count])), tf.constant(0),
                 tf.zeros([self.steps_per_epoch + 1]))
        updates, total, _, _, rewards = tf.while_loop(
            lambda updates, total, course, finished, rewards: finished < self.steps_per_epoch, body, start)
        self.count.assign(tf.cast(epoch + 1, tf.int64) * self.steps_per_epoch)
        self._steps.assign_add(tf.cast(updates, tf.int64) * self._settings.batch_size)
        log = tf.concat([self._rewards, rewards[:self.steps_per_epoch]], axis=0)
        self._rewards.assign(log[-self._rewards.shape[0]:])
        return total, updates

    def _played(self, network, course, seed, epoch, step):
        """A step of each game, as a batch has it, what it has come to, and whether it is over, bool [n].

        A course is the state of the environment, what is seen, and the rewards of each game so far, float32 [n].
        """
        state, seen, rewards = course
        draws = tf.random.stateless_uniform([self._environment.count], games.key(seed, epoch, step, games.ACTIONS))
        action = a2c.chosen(network(seen, training=False)['policy'], draws)
        state, transition, next_seen = self._environment.step(
            state, action, games.key(seed, epoch, step, games.GAMES))
        taken = {'seen': seen, 'next': transition.seen, 'action': action,
                 'reward': self._reward_scale * transition.reward, 'ended': transition.ended}
        return taken, (state, next_seen, rewards + transition.reward), transition.over

    def batch(self, element, seed):
        """In the training step, the batch that is learned from: what was played, as it is."""
        del seed
        return element

    def evaluators(self, network):
        """dict from 'validation', the last games of training, and 'test', other games, to what is measured there."""
        played = tf.function(lambda: self._judge(network), jit_compile=self._settings.jit)

        def validation():
            return {'reward': self._last_reward(), 'environment_steps': int(self._steps.numpy())}

        def test():
            sampled, greedy = np.split(played().numpy(), 2)
            return {'reward': self._last_reward(), 'sampled_reward': float(sampled.mean(dtype=np.float64)),
                    'greedy_reward': float(greedy.mean(dtype=np.float64))}

        return {'validation': validation, 'test': test}

    def _last_reward(self):
        """float, the mean reward of the last games of training; NaN before the first one is over."""
        rewards = self._rewards.numpy()
        rewards = rewards[~np.isnan(rewards)].astype(np.float64)
        return float(rewards.mean()) if rewards.size else float('nan')

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

    def explained(self, seeds, step):
        """No files are read that could be damaged."""
        del seeds, step
        return contextlib.nullcontext()
