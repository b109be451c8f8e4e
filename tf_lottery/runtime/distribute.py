"""A tf.distribute strategy from a flag, and what its workers tell each other."""

import contextlib
import functools
import hashlib
import json
import re
import signal

from tf_lottery.errors import ClusterError, Interrupted, UsageError, reason, shown
from tf_lottery.runtime import clusters

STRATEGIES = ('auto', 'one_device', 'mirrored', 'multi_worker', 'tpu')

# Why several CPU devices train without XLA: TensorFlow 2.21 says that collectives are not yet implemented for them.
NO_XLA = 'XLA does not compile what several CPU devices exchange, so leave --jit at auto or off'


def check(name, wish=None, tpu=None):
    """Refuses an unknown strategy, or one whose cluster or TPU is not described; needs no TensorFlow.

    Raises:
      UsageError.
    """
    if name not in STRATEGIES:
        raise UsageError(f'unknown strategy {shown(name)}: choose one of {", ".join(STRATEGIES)}.')
    if name not in ('auto', 'multi_worker') and wish and wish.kind != 'auto':
        raise UsageError(f'--cluster={wish.kind} is for --strategy=multi_worker, not for {name}: leave one of them '
                         'out.')
    if (name == 'tpu') != bool(tpu):
        raise UsageError('--strategy=tpu and --tpu go together: give --strategy=tpu --tpu=local on a TPU VM, or the '
                         "TPU's name instead of local.")
    if name in ('auto', 'multi_worker'):
        clusters.check(wish or clusters.Wish(), needed=name == 'multi_worker')


def build(name='auto', cpu_devices=1, tpu=None):
    """Builds a strategy.

    Args:
      name: 'one_device' (the first GPU, else the CPU), 'mirrored' (all GPUs of this host, else its virtual CPU
        devices), 'multi_worker' (the hosts of TF_CONFIG), 'tpu', or 'auto': multi_worker where TF_CONFIG names several
        workers, mirrored where there are several GPUs, else one_device. multi_worker of one worker is auto.
      cpu_devices: int, into how many virtual devices to split the CPU: a rehearsal of `mirrored` without GPUs.
      tpu: 'local' on a TPU VM, or the name of a Cloud TPU.

    Returns:
      tf.distribute.Strategy.

    Raises:
      UsageError: see `check`; or fewer than two devices for 'mirrored', or no TPU.
      ClusterError: the workers of TF_CONFIG did not come together.
    """
    import tensorflow as tf

    if name == 'tpu':
        return _tpu(tpu)
    gpus = tf.config.list_physical_devices('GPU')
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if is_cluster(name):
        return _multi_worker()
    if name in ('auto', 'multi_worker'):
        # A cluster of one worker is this host.
        name = 'mirrored' if len(gpus) > 1 else 'one_device'
    if cpu_devices > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * cpu_devices)
    if name == 'one_device':
        # TensorFlow's default strategy puts everything on the first GPU, else the CPU, as OneDeviceStrategy does, and
        # starts an iterator in milliseconds instead of a quarter of a second.
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices('GPU') or tf.config.list_logical_devices('CPU')
    if len(devices) < 2:
        raise UsageError(f'--strategy=mirrored needs two devices or more, found {len(devices)}: use one_device, or '
                         'rehearse with --cpu_devices=2.')
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker():
    import tensorflow as tf

    workers = clusters.workers()
    # TensorFlow waits for long (fourteen minutes were tried), and neither Ctrl-C nor SIGTERM reaches Python meanwhile.
    print(f'Worker {clusters.own_index()} of {len(workers)} waits for all of {", ".join(workers)} '
          '(Ctrl-\\ gives up).', flush=True)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise ClusterError(f'the cluster {", ".join(workers)} could not be started ({_first_sentence(error)}): see '
                           'that every worker runs, and that all of them were started anew.') from error
    # Else the workers would ask each other before every step whether all have data left: they have, or none has.
    strategy.extended.experimental_enable_get_next_as_optional = False
    return strategy


def _tpu(name):
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    # The resolver asks Google Cloud for a name and reports what it hears in many ways.
    except Exception as error:
        raise UsageError(
            f'--tpu={name} is no TPU that this process reaches ({_first_sentence(error)}): run on a TPU VM, with the '
            'package tensorflow-tpu in place of tensorflow, or choose another --strategy.') from error


def _first_sentence(error):
    return reason(error).split('. ')[0]


def is_chief():
    """Whether this process writes files: the only one, or the one that TensorFlow calls chief; needs no TensorFlow."""
    return clusters.own_index() == 0


def jit_pays(strategy, on_cpus):
    """Whether XLA pays: on accelerators always; on CPUs where `on_cpus` and on one replica (it cannot run mirrored)."""
    import tensorflow as tf

    if tf.config.list_physical_devices('GPU') or isinstance(strategy, tf.distribute.TPUStrategy):
        return True
    return strategy.num_replicas_in_sync == 1 and on_cpus


def check_jit(strategy):
    """Refuses to have XLA compile the training of several replicas on CPUs.

    Raises:
      UsageError.
    """
    import tensorflow as tf

    if strategy.num_replicas_in_sync > 1 and not (
            tf.config.list_physical_devices('GPU') or isinstance(strategy, tf.distribute.TPUStrategy)):
        raise UsageError(f'--jit=on cannot be with {strategy.num_replicas_in_sync} replicas on CPUs: {NO_XLA}.')


def local_copies(strategy, array):
    """Puts data that every worker has loaded for itself on each device of this process.

    Call this outside of the strategy's scope.

    Args:
      strategy: a tf.distribute.Strategy.
      array: numpy array.

    Returns:
      A function without arguments: the copy on the device of the replica that calls it.
    """
    import tensorflow as tf

    if not has_workers(strategy):
        with strategy.scope():
            copy = tf.Variable(array, trainable=False)
        return lambda: copy
    # A variable of the strategy would be sent from the first worker to all others, which cannot take bytes.
    copies = []
    for device in strategy.extended.worker_devices:
        with tf.device(device):
            copies.append(tf.Variable(array, trainable=False))

    def own():
        context = tf.distribute.get_replica_context()
        # Each replica of a process is traced for itself, and so knows its number.
        replica = tf.get_static_value(context.replica_id_in_sync_group) if context else 0
        return copies[replica % len(copies)]

    return own


def per_replica(strategy, batches, batch_size):
    """A dataset of whole batches as a strategy hands it to its replicas, in static shapes.

    Args:
      strategy: a tf.distribute.Strategy.
      batches: function from the number of a host and how many there are to a tf.data.Dataset of its rows of them.
      batch_size: int, the rows of a batch over all replicas.

    Returns:
      A dataset that `fit` and a loop take: of the only replica's batches, or a distributed one.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches(0, 1)
    return strategy.distribute_datasets_from_function(lambda context: batches(
        context.input_pipeline_id, context.num_input_pipelines).rebatch(batch_size // replicas, drop_remainder=True))


def has_workers(strategy):
    """Whether training runs in several processes, which must do the same things in the same order."""
    import tensorflow as tf

    return (isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
            and strategy.num_replicas_in_sync > len(strategy.extended.worker_devices))


def is_cluster(name):
    """Whether the strategy of a name runs in several processes; needs no TensorFlow."""
    return name in ('auto', 'multi_worker') and len(clusters.workers()) > 1


def from_chief(strategy, numbers):
    """The numbers that the first worker gives, on every worker; waits until every worker has asked.

    What a worker sees of a shared folder may be older than what the first one sees: it decides for all.

    Args:
      strategy: a tf.distribute.Strategy.
      numbers: list of bool, or of int up to 2**24; as many on every worker.

    Returns:
      list of float; of what was given where there is one process.
    """
    import tensorflow as tf

    if not has_workers(strategy):
        return numbers
    return _of_first(strategy, tf.constant(numbers, tf.float32)).tolist()


def array_from_chief(strategy, array):
    """The array that the first worker gives, on every worker; waits until every worker has asked.

    What workers compute for themselves may differ in its last bits.

    Args:
      strategy: a tf.distribute.Strategy.
      array: numpy array of floats, of the same shape and dtype on every worker.

    Returns:
      numpy array; the one that was given where there is one process.
    """
    import tensorflow as tf

    return _of_first(strategy, tf.constant(array)) if has_workers(strategy) else array


def _of_first(strategy, given):
    """The tensor that the first worker gives, as a numpy array."""
    import tensorflow as tf

    # All but the first replica add zeros.
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.zeros_like(given) if context.replica_id_in_sync_group else given)
    return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()


def any_worker(strategy, flag):
    """Whether `flag` is true on any worker; waits until every worker has asked."""
    import tensorflow as tf

    if not has_workers(strategy):
        return flag
    flags = strategy.experimental_distribute_values_from_function(lambda _: tf.constant(float(flag)))
    return float(strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None)) > 0


def stopping(strategy, stop):
    """Whether training stops here, on every worker alike; waits until every worker has asked.

    A signal reaches the workers one after the other, or one of them only.

    Args:
      strategy: a tf.distribute.Strategy.
      stop: function that returns an exception to raise once everything is saved, or None to go on; or None, on every
        worker.

    Returns:
      The exception to raise, or None to go on.
    """
    asked = stop() if stop else None
    if stop and any_worker(strategy, asked is not None):
        return asked or Interrupted(signal.SIGTERM, 'Another worker was stopped; everything is saved. The same command '
                                    'on every worker goes on from here.')
    return None


def barrier(strategy):
    """Waits until every worker is here."""
    any_worker(strategy, False)


def gather(strategy, values):
    """Collects the values of all replicas on every worker; waits until every worker has asked.

    Args:
      strategy: a tf.distribute.Strategy.
      values: what `strategy.run` returned, int64 [1] on each replica.

    Returns:
      list of int, by replica.
    """
    return _gathering(strategy)(values).numpy().tolist()


@functools.cache
def _gathering(strategy):
    """`strategy.gather`, traced once: by itself it would be traced, and warn of that, at every call."""
    import tensorflow as tf

    @tf.function
    def gathered(values):
        return strategy.gather(values, axis=0)

    return gathered


def agree(strategy, values):
    """Stops every worker with a sentence where they hold different values; waits until every worker has asked.

    Args:
      strategy: a tf.distribute.Strategy.
      values: mapping from what is compared to a value that JSON can hold; the same keys on every worker.

    Raises:
      ClusterError: names what differs, and where.
    """
    import tensorflow as tf

    if not has_workers(strategy):
        return
    for what, value in values.items():
        digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
        number = tf.constant([int.from_bytes(digest[:7], 'big')], tf.int64)
        digests = gather(strategy, strategy.experimental_distribute_values_from_function(lambda _: number))  # noqa: B023
        odd = [replica for replica, digest in enumerate(digests) if digest != digests[0]]
        if odd:
            raise ClusterError(f'{what} differs between {name_workers(strategy, odd)} and '
                               f'{name_workers(strategy, [0])}: start the same command on every worker, with the same '
                               'code and data and one shared --workdir.')


def name_workers(strategy, replicas):
    """'worker 1, 3' where there are several processes, else 'replica 2': who holds what differs."""
    if not has_workers(strategy):
        return f'replica {", ".join(map(str, replicas))}'
    own = len(strategy.extended.worker_devices)
    return f'worker {", ".join(map(str, dict.fromkeys(replica // own for replica in replicas)))}'


@contextlib.contextmanager
def lost_worker():
    """Turns what TensorFlow says where another worker is gone into a ClusterError.

    TensorFlow's coordination service notices within ten seconds that a process died, and ends what waits for it.
    """
    try:
        yield
    except Exception as error:
        if len(clusters.workers()) < 2 or not _is_of_the_network(error):
            raise
        text = re.sub(r'{{.*?}}', '', str(error))
        named = re.findall(r'/job:(chief|worker)(?:/replica:0)?/task:(\d+)', text)
        lost = [number for number in (clusters.place(job, int(index)) for job, index in named)
                if number != clusters.own_index()]
        who = f'worker {lost[0]} ({clusters.workers()[lost[0]]})' if lost else 'another worker'
        raise ClusterError(f'{who} is gone; its own output says why, unless it was killed. What was saved before is '
                           'good: the same command on every worker goes on from there.') from error


def _is_of_the_network(error):
    import tensorflow as tf

    # What a file system says is a StorageError by now.
    return isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
                              tf.errors.DeadlineExceededError)) or 'Collective ops is aborted' in str(error)
