"""How fast games are played and learned from: formulas inside of one program, or Gymnasium between two.

    python benchmarks/games.py --repeats=5
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

import tensorflow as tf
from absl import app
from benchmarks import measure, training
from tf_lottery.data.environments.stepped import Stepped
from tf_lottery.experiment import config
from tf_lottery.tasks.control import ControlTask
from tf_lottery.tasks.games_feed import GamesFeed
from tf_lottery.training import optimizers
from tf_lottery.training.trainer import Settings, TrainingModel

# Environment steps that times are given for: games, and so epochs, last longer the better they are played.
STEPS, ENVIRONMENTS, BATCH = 100_000, 32, 128


def side(environment, hidden, masked=True, gymnasium=False, learns=True):
    """Returns a function that plays an epoch of games, and returns the seconds that STEPS steps of it would take."""
    settings = config.defaults()
    settings.update_from_flattened_dict({'control.environment': environment, 'control.hidden': hidden,
                                         'training.batch_size': BATCH})
    task = ControlTask(settings)
    network = training.network_of(task, masked)
    jit = not gymnasium and task.facts().compilable
    own = Settings(batch_size=BATCH, optimizer='rmsprop', learning_rate=1e-4, momentum=0.0, rho=0.99,
                   evaluate_every=160, checkpoint_every=160, block=160, jit=jit)
    games = Stepped(environment, ENVIRONMENTS) if gymnasium else task.environment.games(environment, ENVIRONMENTS)
    feed = GamesFeed(games, None, own, tf.distribute.get_strategy(), 160, 4, True, 100, 0.01)
    model = TrainingModel(network, task, feed, own)
    model.compile(optimizers.build('rmsprop', 1e-4, 0.0, 0.99))
    model.optimizer.build(network.trainable_variables)
    learn = model._optimizer_step if learns else lambda batch: tf.reduce_sum(batch['reward'])

    @tf.function(jit_compile=jit)
    def play(epoch):
        return feed.train(network, {'seed': tf.constant([0]), 'epoch': epoch[None]}, learn)

    def work():
        epoch, before = int(feed.count.numpy()) // 160, int(feed.state['environment_steps'].numpy())
        began = time.perf_counter()
        play(tf.constant(epoch))
        return (time.perf_counter() - began) * STEPS / (int(feed.state['environment_steps'].numpy()) - before)

    return work


def main(argv):
    del argv
    measure.header()
    small, large = (128, 128, 128), (256, 256, 256)
    seconds = measure.interleaved({
        'masked': side('CartPole-v0', small), 'dense': side('CartPole-v0', small, masked=False),
        'gymnasium': side('CartPole-v0', small, gymnasium=True),
        'acting': side('CartPole-v0', small, learns=False),
        'acrobot': side('Acrobot-v1', large), 'acrobot dense': side('Acrobot-v1', large, masked=False),
        'lunarlander': side('LunarLander-v3', large), 'lunarlander acting': side('LunarLander-v3', large, learns=False),
    }, measure.REPEATS.value)
    rate = {name: measure.rate(STEPS, values, 'steps') for name, values in seconds.items()}
    measure.row("CartPole, formulas / Gymnasium's vector environment, learning, steps/s",
                f'{rate["masked"]}, {rate["gymnasium"]}', measure.ratio(seconds['gymnasium'], seconds['masked']),
                'at least 5')
    for name, title in (('', 'CartPole'), ('acrobot', 'Acrobot')):
        masked, dense = name or 'masked', f'{name} dense'.strip()
        measure.row(f'{title}, masked / dense, time', f'{rate[masked]}, {rate[dense]}',
                    measure.ratio(seconds[masked], seconds[dense]), 'at most 1.1')
    for acting, learning, title in (('acting', 'masked', 'CartPole'),
                                    ('lunarlander acting', 'lunarlander', 'LunarLander, by Gymnasium')):
        measure.row(f'{title}, acting and learning / acting alone, time', f'{rate[learning]}, {rate[acting]}',
                    measure.ratio(seconds[learning], seconds[acting]), 'for comparison')


if __name__ == '__main__':
    app.run(main)
