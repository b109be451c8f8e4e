"""A feed that carries something from step to step: what training does with it."""

import fake_tasks
import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.errors import Interrupted
from tf_lottery.pruning import wrapper
from tf_lottery.tasks.images import examples
from tf_lottery.ticket import Ticket
from tf_lottery.training.carried import Carried
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.feeds import MemoryFeed
from tf_lottery.training.trainer import Seeds, Settings

BATCH, END, SEEDS = 30, 24, Seeds(0, 1, 2)


class CarryingFeed(MemoryFeed):
    """Each row of a batch is darkened by how bright the rows in its place were before."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        strategy = tf.distribute.get_strategy()
        self._seen = Carried(strategy, np.full((BATCH, 1), 0.5, np.float32))
        self.state = {'seen': self._seen}
        self.count = tf.Variable(0, trainable=False, dtype=tf.int64)

    def batch(self, element, seed):
        batch = super().batch(element, seed)
        bright = tf.reduce_mean(tf.cast(batch['image'], tf.float32), [1, 2])
        self.count.assign_add(1)
        seen = self._seen.read()
        self._seen.write(0.9 * seen + 0.1 * bright)
        return {**batch, 'image': tf.cast(batch['image'], tf.float32) * seen[:, None, None] / 4}


class Task(fake_tasks.Task):
    def feed(self, settings, strategy, data_dir=None):
        from tf_lottery import data

        splits = data.load('digits', 100)
        return CarryingFeed({name: examples(getattr(splits, name)) for name in ('train', 'validation', 'test')},
                            settings, strategy, self.judge())


@pytest.fixture(scope='module')
def trainer():
    settings = Settings(batch_size=BATCH, optimizer='sgd', learning_rate=0.1, momentum=0.9, evaluate_every=10,
                        checkpoint_every=7, block=5, jit=True)
    return fake_tasks.trainer(Task(fake_tasks.network), settings, tf.distribute.get_strategy())


@pytest.fixture(scope='module')
def ticket(trainer):
    return Ticket(wrapper.get_mask(trainer.network), wrapper.get_weights(trainer.network))


def same(left, right):
    return all(np.array_equal(left[name], right[name]) for name in left)


def test_a_rewinding_point_holds_what_is_carried(trainer, ticket):
    kept = {}
    whole = trainer.train(ticket, SEEDS, END, keep_at=[0, 12], keep=lambda step, *point: kept.update({step: point}))
    assert kept[0][1] == {'seen': pytest.approx(np.full((BATCH, 1), 0.5))}
    weights, state = kept[12]
    assert len(np.unique(state['seen'])) > BATCH / 2
    on = Ticket(ticket.mask, weights, 12, state=state)
    assert same(trainer.train(on, SEEDS, END).weights, whole.weights)
    assert int(trainer.feed.count) == END
    forgotten = Ticket(ticket.mask, weights, 12)
    assert not same(trainer.train(forgotten, SEEDS, END).weights, whole.weights)
    assert on.digest() != forgotten.digest()


def test_a_checkpoint_holds_what_is_carried(trainer, ticket, tmp_path):
    whole = trainer.train(ticket, SEEDS, END)

    def stop():
        return Interrupted(15, 'stop') if int(trainer.model.step) >= 13 else None

    with pytest.raises(Interrupted):
        trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(tmp_path), stop=stop)
    trainer.feed.state['seen'].assign(np.zeros((BATCH, 1), np.float32))
    trainer.feed.count.assign(3)
    resumed = trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(tmp_path))
    assert same(resumed.weights, whole.weights) and resumed.rows == whole.rows
