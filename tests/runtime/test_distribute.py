"""Two replicas, in one process and in two, train what one device trains; what the flags are refused for."""

import functools
import itertools
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.distribute import multi_worker_util

from tf_lottery import command
from tf_lottery.errors import ClusterError, Interrupted, UsageError
from tf_lottery.runtime import clusters, distribute, storage
from tf_lottery.ticket import Mask

ROOT = pathlib.Path(__file__).parents[2]

# Virtual devices and workers must be set up before TensorFlow starts, so these cases are processes of their own.
RUN = """
import pathlib
import sys

from tf_lottery.runtime import distribute

name, cpu_devices, folder, task = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
strategy = distribute.build(name, cpu_devices)

import numpy as np
import tensorflow as tf
import tf_keras

from tests import fake_tasks
from tf_lottery.runtime import storage
from tf_lottery.errors import ClusterError, Interrupted
from tf_lottery.experiment import config
from tf_lottery.models.dropout import Dropout
from tf_lottery.pruning import wrapper
from tf_lottery.pruning.allocation import prune
from tf_lottery.pruning.updates import Regrowth
from tf_lottery.tasks.control import ControlTask
from tf_lottery.ticket import Ticket
from tf_lottery.training.carried import Carried
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.derivatives import Derivatives
from tf_lottery.training.learning_rates import LearningRate
from tf_lottery.training.trainer import Seeds, Settings, Trainer


def network():
    dense, seed = tf_keras.layers.Dense, tf_keras.initializers.GlorotNormal
    return tf_keras.Sequential([
        tf_keras.layers.Flatten(input_shape=(8, 8, 1), name='flatten'),
        dense(20, activation='relu', kernel_initializer=seed(1), name='fc'), Dropout(0.5),
        dense(10, kernel_initializer=seed(2), name='output')])


settings = Settings(batch_size=60, optimizer='adam', learning_rate=LearningRate('steps', 0.01, 30, milestones=(12, 23)),
                    momentum=0.9, weight_decay=0.05, evaluate_every=10, checkpoint_every=15, block=5, jit=False)
trainer = fake_tasks.trainer(fake_tasks.Task(network, data__crop_pixels=1, data__flip=True), settings, strategy,
                             freezes=True)
dense, weights = wrapper.get_mask(trainer.network), wrapper.get_weights(trainer.network)
ticket = Ticket(prune(dense, weights, dict.fromkeys(dense, 0.5), 1), weights, 3)
trained = trainer.train(ticket, Seeds(0, 1, 2), 30)

# Every replica of this process, masks and weights alike.
replicas = 0
for name, (_, weight, mask, _) in wrapper.prunable_variables(trainer.network).items():
    copies = [*map(strategy.experimental_local_results, (weight, mask))]
    replicas = len(copies[0])
    for local_weight, local_mask in zip(*copies, strict=True):
        assert np.array_equal(local_mask.numpy(), ticket.mask[name]), 'a mask differs between the replicas'
        assert not local_weight.numpy()[~ticket.mask[name]].any(), 'a pruned weight is not zero'
        assert np.array_equal(local_weight.numpy(), trained.weights[name]), 'weights differ between the replicas'
assert not trained.diverged

# Pruned weights that are frozen are the same on every replica, too.
frozen = trainer.train(Ticket(ticket.mask, weights, 3, weights), Seeds(0, 1, 2), 9)
for name, (_, weight, *_) in wrapper.prunable_variables(trainer.network).items():
    for local_weight in strategy.experimental_local_results(weight):
        assert np.array_equal(local_weight.numpy()[~ticket.mask[name]], weights[name][~ticket.mask[name]])
        assert np.array_equal(local_weight.numpy(), frozen.weights[name]), 'frozen networks differ'
# Masks that change by gradients of all replicas change alike: SameMasks asks after each update.
growing = fake_tasks.trainer(fake_tasks.Task(network), settings, strategy, dense_gradients=True)
regrowth = Regrowth((8, 20), tuple(dense), 0.4, 25)
grown = growing.train(ticket, Seeds(0, 1, 2), 30, updates=regrowth)
assert grown.mask != ticket.mask and grown.mask.kept == ticket.mask.kept
storage.write_arrays(folder / f'grown_{task}.npz', grown.mask.to_arrays())

# What rows of the batch carry is each replica's own.
given = np.float32([[row, 0] for row in range(12)])
carried = Carried(strategy, given)
assert np.array_equal(carried.numpy(), given)
strategy.run(lambda: carried.write(carried.read() + [[0, tf.cast(
    tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32)]]))
count = strategy.num_replicas_in_sync
assert carried.numpy().tolist() == [[row, row * count // 12] for row in range(12)]
carried.assign(given)
assert np.array_equal(carried.numpy(), given)

# What the first worker sees counts.
assert distribute.from_chief(strategy, [5, True, -1] if distribute.is_chief() else [7, False, 0]) == [5, 1, -1]

given = np.float64([1, 2**40 + 1]) if distribute.is_chief() else np.float64([np.nan, 5])
assert distribute.array_from_chief(strategy, given).tolist() == [1, 2**40 + 1]

# Weights are ranked on any number of replicas as on one.
examples = trainer.feed.drawn(20)
found, alone = (Derivatives(trainer.task, examples, 60, each).gradient(weights)
                for each in (strategy, tf.distribute.get_strategy()))
for name, slope in alone.items():
    assert np.array_equal(found[name], slope), 'a gradient differs between replicas'

# Only the first worker is told to stop, at step 20; every worker stops there and goes on from the same checkpoint.
chief = distribute.is_chief()
stopped = None
try:
    trainer.train(ticket, Seeds(0, 1, 2), 30, checkpoint=Checkpoint(folder / 'run', chief), stop=lambda: (
        Interrupted(15, 'stop') if chief and int(trainer.model.optimizer.iterations.numpy()) >= 20 else None))
except Interrupted:
    stopped = int(trainer.model.optimizer.iterations.numpy())
distribute.barrier(strategy)
resumed = trainer.train(ticket, Seeds(0, 1, 2), 30, checkpoint=Checkpoint(folder / 'run', chief))
for name, value in trained.weights.items():
    assert np.array_equal(resumed.weights[name], value), 'a resumed run differs'

# Replicas play eight games together and learn from four at a time, of which each has its share; an epoch is of ten.
of_games = config.defaults()
of_games.update_from_flattened_dict({
    'control.games': 10, 'control.environments': 8, 'control.block': 2, 'control.hidden': (4,), 'control.last': 8,
    'control.evaluation_games': 0, 'training.batch_size': 8})
playing = Settings(batch_size=8, optimizer='momentum', learning_rate=0.01, momentum=0.9, evaluate_every=10,
                   checkpoint_every=10, block=10, jit=False)
player = ControlTask(of_games)
player = Trainer(player, player.feed(playing, strategy), playing, strategy)
first = Ticket(wrapper.get_mask(player.network), wrapper.get_weights(player.network), 0)
played = player.train(first, Seeds(0, 1, 2), 30)
log = player.feed.state['rewards'].numpy()
try:
    player.train(first, Seeds(0, 1, 2), 30, checkpoint=Checkpoint(folder / 'games', chief), stop=lambda: (
        Interrupted(15, 'stop') if chief and int(player.model.step.numpy()) == 10 else None))
    raise AssertionError('nobody stopped')
except Interrupted:
    pass
distribute.barrier(strategy)
again = player.train(first, Seeds(0, 1, 2), 30, checkpoint=Checkpoint(folder / 'games', chief))
assert again.rows == played.rows and np.array_equal(player.feed.state['rewards'].numpy(), log)
for name, value in played.weights.items():
    assert np.array_equal(again.weights[name], value), 'games that go on differ'
storage.write_arrays(folder / f'played_{task}.npz', {**played.weights, 'log': log})


def operations(graph):
    for operation in graph.get_operations():
        yield operation
        if operation.type == 'While':
            yield from operations(graph._get_function(operation.get_attr('body').name).graph)


def sentence(action):
    try:
        action()
    except ClusterError as error:
        return str(error)


# What an optimizer step sends to the other workers, read off the graph that Keras trains with.
sent = []
if distribute.has_workers(strategy):
    data_set = trainer.feed.training(Seeds(0, 1, 2), [0, 10], 0)
    step = trainer.model.train_function.get_concrete_function(iter(data_set))
    sent = [(operation.outputs[0].dtype.name, operation.outputs[0].shape.num_elements())
            for operation in operations(step.graph) if operation.type.startswith('Collective')]

storage.write_arrays(folder / f'weights_{task}.npz', trained.weights)
storage.write_arrays(folder / f'mask_{task}.npz', wrapper.get_mask(trainer.network).to_arrays())
same = sentence(trainer._same_masks.on_train_begin)
# As many weights kept as before, but others, on the last replica.
if replicas == strategy.num_replicas_in_sync or not chief:
    _, _, mask, _ = wrapper.prunable_variables(trainer.network)['output/kernel']
    last = strategy.experimental_local_results(mask)[-1]
    last.assign(np.roll(last.numpy(), 1))
storage.write_json(folder / f'rows_{task}.json', {
    'sent': sent, 'same': same, 'other': sentence(trainer._same_masks.on_train_begin),
    'agreed': sentence(lambda: distribute.agree(strategy, {'the seed': 1, 'the data': [1, 'a']})),
    'disagreed': sentence(lambda: distribute.agree(strategy, {'the seed': 1, 'the data': task})),
    'rows': trained.rows, 'replicas': [replicas, strategy.num_replicas_in_sync], 'stopped': stopped,
    'workers': distribute.has_workers(strategy), 'played_rows': played.rows})
"""


def start(folder, name, cpu_devices=1, task=0, **environment):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, '-c', RUN, name, str(cpu_devices), str(folder), str(task)], cwd=ROOT, text=True,
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def start_workers(folder):
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(('127.0.0.1', 0))
    hosts = [f'127.0.0.1:{each.getsockname()[1]}' for each in sockets]
    for each in sockets:
        each.close()
    return [start(folder, 'auto', task=index, TF_CONFIG=json.dumps(
        {'cluster': {'worker': hosts}, 'task': {'type': 'worker', 'index': index}})) for index in range(2)]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """All cases side by side, since they mostly wait for TensorFlow: {name: function that waits for its folder}."""
    root = tmp_path_factory.mktemp('runs')
    processes = {'workers': start_workers(root / 'workers'),
                 'mirrored': [start(root / 'mirrored', 'mirrored', cpu_devices=2)],
                 'one_device': []}

    def wait(name):
        if name == 'one_device':
            # Needs no setting up, and TensorFlow is here already.
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, 'argv', ['run', name, '1', str(root / name), '0'])
                exec(RUN, {})
        for process in processes[name]:
            output, _ = process.communicate(timeout=200)
            assert process.returncode == 0, output
        return root / name

    yield {name: functools.cache(functools.partial(wait, name)) for name in processes}
    for process in itertools.chain.from_iterable(processes.values()):
        process.kill()


class Result:
    """What a process wrote."""

    def __init__(self, folder, task=0):
        self.weights = storage.read_arrays(folder / f'weights_{task}.npz')
        self.played = storage.read_arrays(folder / f'played_{task}.npz')
        self.mask = storage.read_bytes(folder / f'mask_{task}.npz')
        self.grown = Mask.from_arrays(storage.read_arrays(folder / f'grown_{task}.npz'))
        vars(self).update(storage.read_json(folder / f'rows_{task}.json'))


def assert_close(result, expected):
    for name, value in expected.weights.items():
        assert result.weights[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    assert result.mask == expected.mask
    for row, expected_row in zip(result.rows, expected.rows, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-4)


def test_two_replicas_train_what_one_device_trains(runs):
    one_device, mirrored = Result(runs['one_device']()), Result(runs['mirrored']())
    assert one_device.replicas == [1, 1]
    assert mirrored.replicas == [2, 2] and not mirrored.workers
    assert mirrored.stopped == one_device.stopped == 20
    assert_close(mirrored, one_device)


def test_two_replicas_play_what_one_device_plays(runs):
    expected = Result(runs['one_device']())
    workers = runs['workers']()
    assert [row['step'] for row in expected.played_rows] == [10, 20, 30]
    for found in (Result(runs['mirrored']()), Result(workers), Result(workers, 1)):
        # All games that are over count, in their order: CartPole's rewards are their lengths.
        assert np.array_equal(found.played['log'], expected.played['log'])
        for row, expected_row in zip(found.played_rows, expected.played_rows, strict=True):
            assert row == pytest.approx(expected_row, rel=1e-4)
        for name, value in expected.played.items():
            assert found.played[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_two_workers_train_what_one_device_trains(runs):
    one_device = Result(runs['one_device']())
    first, second = (Result(runs['workers'](), task) for task in range(2))
    for worker in (first, second):
        assert worker.replicas == [1, 2] and worker.workers
        # The second one was never told; it stopped because the first one was.
        assert worker.stopped == 20
        assert_close(worker, one_device)
        # Biases and kernels of 64 x 20 and 20 x 10 in float32: not the weights, not the masks, not the loss.
        assert worker.sent == [['float32', 64 * 20 + 20 + 20 * 10 + 10]]
    assert storage.list_folder(runs['workers']() / 'run') == ['checkpoint_a.npz', 'checkpoint_b.npz']
    assert first.mask == second.mask
    assert first.rows == second.rows
    for name, value in first.weights.items():
        assert value.tobytes() == second.weights[name].tobytes(), name


def test_masks_grow_at_the_same_places_on_any_number_of_replicas(runs):
    one_device = Result(runs['one_device']()).grown
    for result in (Result(runs['mirrored']()), *(Result(runs['workers'](), task) for task in range(2))):
        for name, kept in one_device.items():
            # Sums over replicas round otherwise, which moves gradients that are nearly equal.
            assert (result.grown[name] != kept).mean() < 0.02, name
    assert Result(runs['workers'](), 0).grown == Result(runs['workers'](), 1).grown


def test_replicas_that_hold_other_masks_stop(runs):
    one_device, mirrored = Result(runs['one_device']()), Result(runs['mirrored']())
    assert one_device.same is None and one_device.other is None
    assert mirrored.same is None
    assert mirrored.other.startswith('the masks of replica 1 differ from those of replica 0: every worker must read')
    for worker in (Result(runs['workers'](), task) for task in range(2)):
        assert worker.same is None
        assert worker.other.startswith('the masks of worker 1 differ from those of worker 0: every worker must read')


def test_workers_that_disagree_stop(runs):
    for worker in (Result(runs['workers'](), task) for task in range(2)):
        assert worker.agreed is None
        assert worker.disagreed.startswith('the data differs between worker 1 and worker 0: start the same command')
    assert Result(runs['mirrored']()).disagreed is None


def test_the_checksum_tells_masks_apart():
    from tf_lottery.training.agreement import checksum

    # Every mask over four weights, and the same four in two layers.
    bits = list(itertools.product((0.0, 1.0), repeat=4))
    sums = [int(checksum([tf.constant(mask)])) for mask in bits]
    assert len(set(sums)) == 16 and sums[0] == 0
    layers = [int(checksum([tf.constant(mask[:2]), tf.constant(mask[2:])])) for mask in bits]
    assert len(set(layers)) == 16
    assert sums == [int(checksum([tf.constant(mask)])) for mask in bits]


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UsageError, match=r"unknown strategy 'tpus': choose one of auto, one_device, mirrored"):
        distribute.check('tpus')


def test_a_strategy_takes_its_own_flags_only():
    for name, tpu in (('tpu', None), ('auto', 'local')):
        with pytest.raises(UsageError, match='--strategy=tpu and --tpu go together: give --strategy=tpu --tpu=local'):
            distribute.check(name, tpu=tpu)
    with pytest.raises(UsageError, match='--cluster=gce is for --strategy=multi_worker, not for mirrored'):
        distribute.check('mirrored', clusters.Wish('gce'))


def test_xla_trains_on_one_cpu_device_only():
    distribute.check_jit(types.SimpleNamespace(num_replicas_in_sync=1))
    with pytest.raises(UsageError, match='^--jit=on cannot be with 2 replicas on CPUs: XLA does not compile what '
                                         'several CPU devices exchange, so leave --jit at auto or off.$'):
        distribute.check_jit(types.SimpleNamespace(num_replicas_in_sync=2))


def test_without_a_tpu_there_is_a_sentence(capfd):
    assert command.in_one_sentence(lambda: distribute.build('tpu', tpu='local')) == 2
    assert ('tf_lottery: --tpu=local is no TPU that this process reaches (TPUs not found in the cluster): run on a TPU '
            'VM') in capfd.readouterr().err


@pytest.mark.parametrize(('error', 'sentence'), [
    (tf.errors.UnavailableError, 'worker 1 (host2:1) is gone; its own output says why'),
    (tf.errors.InternalError, None)])
def test_a_worker_that_is_gone_is_named(monkeypatch, error, sentence):
    monkeypatch.setenv('TF_CONFIG', json.dumps(
        {'cluster': {'worker': ['host1:1', 'host2:1']}, 'task': {'type': 'worker', 'index': 0}}))
    message = ('{{function_node /job:worker/replica:0/task:0/device:CPU:0}} Error reported from /job:worker/task:0: '
               'the following tasks are unhealthy:\n/job:worker/replica:0/task:1')
    with pytest.raises(ClusterError if sentence else error) as raised, distribute.lost_worker():
        raise error(None, None, message)
    assert (sentence or 'unhealthy') in str(raised.value)
    monkeypatch.delenv('TF_CONFIG')
    with pytest.raises(error), distribute.lost_worker():
        raise error(None, None, message)


@pytest.mark.parametrize(('job', 'index', 'lost'), [
    ('worker', 0, 'worker 0 (host0:1) is gone'), ('chief', 0, 'worker 1 (host1:1) is gone')])
def test_a_chief_or_worker_that_is_gone_is_named_by_its_place(monkeypatch, job, index, lost):
    monkeypatch.setenv('TF_CONFIG', json.dumps({
        'cluster': {'worker': ['host1:1'], 'chief': ['host0:1']}, 'task': {'type': job, 'index': index}}))
    with pytest.raises(ClusterError, match=re.escape(lost)), distribute.lost_worker():
        raise tf.errors.UnavailableError(None, None, 'unhealthy: /job:chief/replica:0/task:0, /job:worker/task:0')


@pytest.mark.parametrize('config', [None, '{}', '{"task": {"type": "worker", "index": 0}}'])
def test_workers_need_a_cluster(monkeypatch, config):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    if config:
        monkeypatch.setenv('TF_CONFIG', config)
    with pytest.raises(UsageError, match='--strategy=multi_worker needs the cluster in the environment variable'):
        distribute.check('multi_worker')


def test_a_cluster_that_cannot_be_read_is_refused(monkeypatch):
    monkeypatch.setenv('TF_CONFIG', '{cluster')
    for name in ('auto', 'multi_worker'):
        with pytest.raises(UsageError, match='TF_CONFIG is not JSON'):
            distribute.build(name)


@pytest.mark.skipif(len(tf.config.list_physical_devices('GPU')) > 1, reason='there are several GPUs')
def test_mirroring_needs_two_devices(monkeypatch):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    with pytest.raises(UsageError, match='--strategy=mirrored needs two devices or more, found 1: use one_device'):
        distribute.build('mirrored')
    assert distribute.build('auto').num_replicas_in_sync == 1


@pytest.mark.parametrize(('name', 'workers', 'several'), [
    ('auto', 2, True), ('multi_worker', 2, True), ('auto', 1, False), ('multi_worker', 1, False),
    ('mirrored', 2, False)])
def test_a_cluster_has_several_workers(monkeypatch, name, workers, several):
    monkeypatch.setenv('TF_CONFIG', json.dumps({'cluster': {'worker': ['localhost:1'] * workers}}))
    assert distribute.is_cluster(name) is several


@pytest.mark.skipif(len(tf.config.list_physical_devices('GPU')) > 1, reason='there are several GPUs')
def test_a_cluster_of_one_worker_is_this_host(monkeypatch):
    monkeypatch.setenv('TF_CONFIG', json.dumps({
        'cluster': {'worker': ['localhost:1']}, 'task': {'type': 'worker', 'index': 0}}))
    assert distribute.build('multi_worker') is tf.distribute.get_strategy()


CLUSTERS = ({'worker': ['a:1', 'b:1']}, {'chief': ['a:1'], 'worker': ['b:1', 'c:1']}, {'chief': ['a:1']},
            {'worker': ['b:1'], 'evaluator': ['d:1'], 'chief': ['a:1']})


@pytest.mark.parametrize('cluster', CLUSTERS)
def test_the_chief_and_the_order_of_the_workers_are_tensorflows(monkeypatch, cluster):
    tasks = [(name, number) for name in ('worker', 'chief') for number in range(len(cluster.get(name, [])))]
    chiefs, addresses = [], {}
    for job, index in tasks:
        monkeypatch.setenv('TF_CONFIG', json.dumps({'cluster': cluster, 'task': {'type': job, 'index': index}}))
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        task = resolver.cluster_spec(), resolver.task_type, resolver.task_id
        assert distribute.is_chief() == multi_worker_util.is_chief(*task)
        assert clusters.own_index() == multi_worker_util.id_in_cluster(*task)
        assert len(clusters.workers()) == multi_worker_util.worker_count(task[0], job)
        addresses[clusters.own_index()] = resolver.cluster_spec().task_address(job, index)
        chiefs += [(job, index)] if distribute.is_chief() else []
    assert chiefs == [('chief' if 'chief' in cluster else 'worker', 0)]
    assert clusters.workers() == [addresses[place] for place in sorted(addresses)]


@pytest.mark.parametrize('config', [
    None, {}, {'cluster': {}}, {'cluster': {'worker': []}}, {'task': {'type': 'worker', 'index': 1}}])
def test_who_is_alone_writes(monkeypatch, config):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    if config is not None:
        monkeypatch.setenv('TF_CONFIG', json.dumps(config))
    distribute.check('auto')
    assert distribute.is_chief() and clusters.workers() == []


def test_workers_stop_where_one_of_them_is_asked_to(monkeypatch):
    told, others = Interrupted(2, 'stopped'), []
    monkeypatch.setattr(distribute, 'any_worker', lambda strategy, flag: flag or bool(others))
    assert distribute.stopping(None, None) is None
    assert distribute.stopping(None, lambda: None) is None
    assert distribute.stopping(None, lambda: told) is told
    others.append(1)
    assert distribute.stopping(None, lambda: told) is told
    assert distribute.stopping(None, None) is None
    other = distribute.stopping(None, lambda: None)
    assert other.signal == 15 and str(other).startswith('Another worker was stopped; everything is saved.')


def test_one_process_decides_alone():
    strategy = tf.distribute.get_strategy()
    assert not distribute.has_workers(strategy)
    assert distribute.any_worker(strategy, True) is True
    assert distribute.any_worker(strategy, False) is False
    assert distribute.from_chief(strategy, [3, -1]) == [3, -1]
    own = np.arange(3.0)
    assert distribute.array_from_chief(strategy, own) is own
    distribute.barrier(strategy)
    assert np.array_equal(distribute.local_copies(strategy, np.arange(3, dtype=np.uint8))(), [0, 1, 2])


def test_a_batch_must_divide_among_the_replicas():
    from tf_lottery.training.trainer import Trainer
    settings = types.SimpleNamespace(batch_size=60)
    with pytest.raises(UsageError, match=r'training\.batch_size is 60, which does not divide among 7 replicas'):
        Trainer(None, None, settings, types.SimpleNamespace(num_replicas_in_sync=7))


@pytest.mark.skipif(bool(tf.config.list_physical_devices('GPU')), reason='on a GPU XLA pays always')
def test_xla_pays_on_cpus_where_it_is_said_to_on_one_replica():
    one, two = (types.SimpleNamespace(num_replicas_in_sync=count) for count in (1, 2))
    assert distribute.jit_pays(one, on_cpus=True)
    assert not distribute.jit_pays(one, on_cpus=False)
    assert not distribute.jit_pays(two, on_cpus=True)
