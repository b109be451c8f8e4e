"""A tf.distribute strategy from a flag."""

import json
import os

from tf_lottery.errors import UsageError

STRATEGIES = ('auto', 'one_device', 'mirrored', 'multi_worker')


def check(name):
    """Refuses an unknown strategy, or one whose cluster is not described; needs no TensorFlow.

    Raises:
      UsageError.
    """
    if name not in STRATEGIES:
        raise UsageError(f'unknown strategy {name!r}: choose one of {", ".join(STRATEGIES)}.')
    if name == 'multi_worker' and not _workers():
        raise UsageError("--strategy=multi_worker needs the cluster in the environment variable TF_CONFIG, as in "
                         '\'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", '
                         '"index": 0}}\'.')


def _workers():
    try:
        return json.loads(os.environ.get('TF_CONFIG', '{}')).get('cluster', {}).get('worker', [])
    except ValueError as error:
        raise UsageError(f'TF_CONFIG is not JSON ({error}).') from error


def build(name='auto', cpu_devices=1):
    """Builds a strategy.

    Args:
      name: 'one_device' (the first GPU, else the CPU), 'mirrored' (all GPUs of this host, else its virtual CPU
        devices), 'multi_worker' (the hosts of TF_CONFIG), or 'auto': multi_worker where TF_CONFIG names several
        workers, mirrored where there are several GPUs, else one_device.
      cpu_devices: int, into how many virtual devices to split the CPU: a rehearsal of `mirrored` without GPUs.

    Returns:
      tf.distribute.Strategy.

    Raises:
      UsageError: see `check`; or fewer than two devices for 'mirrored'.
    """
    check(name)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices('GPU')
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if name == 'auto':
        name = 'multi_worker' if is_cluster(name) else 'mirrored' if len(gpus) > 1 else 'one_device'
    if name == 'multi_worker':
        return tf.distribute.MultiWorkerMirroredStrategy()
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


def is_chief():
    """Whether this process writes files: the only one, or the first of the workers in TF_CONFIG."""
    task = json.loads(os.environ.get('TF_CONFIG', '{}')).get('task', {})
    return task.get('type', 'worker') in ('worker', 'chief') and task.get('index', 0) == 0


def jit_pays(strategy, network_has_convolutions):
    """Whether XLA pays: on accelerators always; on CPUs for dense networks on one replica (it cannot run mirrored)."""
    import tensorflow as tf

    if tf.config.list_physical_devices('GPU'):
        return True
    return strategy.num_replicas_in_sync == 1 and not network_has_convolutions


def local_copies(strategy, array):
    """Puts data that every worker has loaded for itself on each device of this process.

    A variable of the strategy would be sent from the first worker to all others, which cannot take bytes. Call this
    outside of the strategy's scope.

    Args:
      strategy: a tf.distribute.Strategy.
      array: numpy array.

    Returns:
      A function without arguments: the copy on the device of the replica that calls it.
    """
    import tensorflow as tf

    copies = []
    # The default strategy names no devices.
    for device in strategy.extended.worker_devices if strategy.num_replicas_in_sync > 1 else (None,):
        with tf.device(device):
            copies.append(tf.Variable(array, trainable=False))

    def own():
        context = tf.distribute.get_replica_context()
        replica = tf.get_static_value(context.replica_id_in_sync_group) if context else 0
        return copies[replica % len(copies)]

    return own


def has_workers(strategy):
    """Whether training runs in several processes, which must do the same things in the same order."""
    return strategy.cluster_resolver is not None and strategy.num_replicas_in_sync > 1


def is_cluster(name):
    """Whether the strategy of a name runs in several processes; needs no TensorFlow."""
    return name in ('auto', 'multi_worker') and len(_workers()) > 1


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
    given = tf.constant(numbers, tf.float32)
    # All but the first replica add zeros.
    values = strategy.experimental_distribute_values_from_function(
        lambda context: given * float(context.replica_id_in_sync_group == 0))
    return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy().tolist()


def any_worker(strategy, flag):
    """Whether `flag` is true on any worker; waits until every worker has asked."""
    import tensorflow as tf

    if not has_workers(strategy):
        return flag
    flags = strategy.experimental_distribute_values_from_function(lambda _: tf.constant(float(flag)))
    return float(strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None)) > 0


def barrier(strategy):
    """Waits until every worker is here."""
    any_worker(strategy, False)
