"""Which hosts train together, and which of them this is: found by TensorFlow's resolvers, told to it in TF_CONFIG."""

import contextlib
import dataclasses
import json
import os
import socket
import time

from tf_lottery.errors import UsageError

CLUSTERS = ('auto', 'tf_config', 'slurm', 'kubernetes', 'gce')

_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
# The jobs that train, in the order in which TensorFlow numbers their replicas.
_TRAINING = ('chief', 'worker')
# What else TensorFlow knows, and why there is no use for it here.
_IDLE = {'ps': 'gradients are summed by the workers themselves', 'evaluator': 'the workers evaluate'}

# Hosts come up one after the other: how long to wait for all of them, and how often to look.
_WAIT_SECONDS = 900
_POLL_SECONDS = 5


@dataclasses.dataclass(frozen=True)
class Wish:
    """Where the cluster is described.

    Attributes:
      kind: a name of CLUSTERS; 'auto' is the environment variable TF_CONFIG, else a Slurm step of several tasks.
      workers: int, how many hosts 'kubernetes' and 'gce' wait for, which list those that run already.
      pods: 'kubernetes': the label selector of the pods, as in 'job-name=lottery'.
      instances: 'gce': PROJECT/ZONE/GROUP of a group of instances.
      port: int, where workers listen; with 'slurm' the first task of a host does, the others on the next ones.
    """

    kind: str = 'auto'
    workers: int | None = None
    pods: str | None = None
    instances: str | None = None
    port: int = 8470


def check(wish, needed=False):
    """Refuses a wish that lacks what its kind needs; needs no TensorFlow.

    Args:
      wish: Wish.
      needed: bool, whether there must be a cluster.

    Raises:
      UsageError.
    """
    if wish.kind == 'slurm' and not _in_slurm():
        raise UsageError('--cluster=slurm needs a Slurm step, which sets SLURM_PROCID and others: start with srun.')
    if wish.kind == 'kubernetes' and not (wish.pods and wish.workers):
        raise UsageError('--cluster=kubernetes needs the label selector of the pods and their number, as in '
                         '--pods=job-name=lottery --workers=2.')
    if wish.kind == 'gce' and not (wish.workers and (wish.instances or '').count('/') == 2):
        raise UsageError('--cluster=gce needs a group of instances and their number, as in '
                         '--instances=PROJECT/ZONE/GROUP --workers=2.')
    if _kind(wish) == 'tf_config':
        own_index()
        if (needed or wish.kind == 'tf_config') and not workers():
            raise UsageError('--strategy=multi_worker needs the cluster in the environment variable TF_CONFIG, as in '
                             f"'{_EXAMPLE}', or another --cluster.")


def workers():
    """The addresses in TF_CONFIG of all that train, in the order of their replicas: the chief, if any, comes first.

    Returns:
      list of str; [] where TF_CONFIG describes no cluster, so that this process is alone.

    Raises:
      UsageError: TF_CONFIG is not what TensorFlow's workers read.

    Source: `multi_worker_util` of tensorflow/python/distribute, which TensorFlow does not publish.
    """
    jobs = _described().get('cluster', {})
    return [address for job in _TRAINING for address in jobs.get(job, [])]


def own_index():
    """int, which of `workers` this process is: the first one, 0, is TensorFlow's chief; also 0 where it is alone.

    Raises:
      UsageError: TF_CONFIG is not what TensorFlow's workers read, or gives this process something else than to train.
    """
    described = _described()
    jobs, task = described.get('cluster', {}), described.get('task', {})
    job, index = str(task.get('type')), task.get('index')
    if job in _IDLE:
        raise UsageError(f'TF_CONFIG makes this process a task of {job!r}, which has nothing to do here: '
                         f'{_IDLE[job]}. Start the tasks of {" and ".join(map(repr, _TRAINING))} only.')
    if not workers():
        return 0
    if job not in _TRAINING or not jobs.get(job):
        raise _malformed(f'has a task of type {job!r}, which its cluster does not have')
    if type(index) is not int or not 0 <= index < len(jobs[job]):
        raise _malformed(f'has a task of index {index!r}, and its cluster has {len(jobs[job])} of type {job!r}, '
                         'counted from 0')
    return place(job, index)


def place(job, index):
    """int, which of `workers` a task of TensorFlow's is, as in '/job:worker/task:0'."""
    before = _TRAINING[:_TRAINING.index(job)]
    return index + sum(len(_described()['cluster'].get(other, [])) for other in before)


def leave():
    """Forgets the cluster of TF_CONFIG: this process trains alone, as one among several jobs where there are others."""
    os.environ.pop('TF_CONFIG', None)


def _described():
    """What TF_CONFIG holds, in the form that TensorFlow's workers read: dict, empty where it is not set."""
    try:
        described = json.loads(os.environ.get('TF_CONFIG', '{}'))
    except ValueError as error:
        raise _malformed(f'is not JSON ({error})') from error
    if not isinstance(described, dict):
        raise _malformed('is not an object of JSON')
    jobs, task = described.get('cluster', {}), described.get('task', {})
    if not isinstance(jobs, dict) or not all(
            isinstance(addresses, list) and all(isinstance(address, str) for address in addresses)
            for addresses in jobs.values()):
        raise _malformed('has a cluster that does not give a list of addresses for each job')
    if not isinstance(task, dict):
        raise _malformed('has a task that is not an object of JSON')
    unknown = set(jobs) - {*_TRAINING, *_IDLE}
    if unknown:
        raise _malformed(f'has a cluster with the job {min(unknown)!r}, which TensorFlow does not know')
    if jobs.get('ps'):
        raise _malformed(f"has a cluster with the job 'ps', for which there is no use: {_IDLE['ps']}")
    if len(jobs.get('chief', [])) > 1:
        raise _malformed(f'has a cluster with {len(jobs["chief"])} chiefs, and there is one at most')
    return described


def _malformed(what):
    return UsageError(f"TF_CONFIG {what}: write it as in '{_EXAMPLE}', or unset it to train on this host alone.")


def _kind(wish):
    if wish.kind != 'auto':
        return wish.kind
    several = not workers() and _in_slurm() and int(os.environ['SLURM_STEP_NUM_TASKS']) > 1
    return 'slurm' if several else 'tf_config'


def find(wish):
    """Finds the cluster and writes it into TF_CONFIG, which TensorFlow and `workers` read.

    Raises:
      UsageError: it cannot be found.
    """
    kind = _kind(wish)
    if kind == 'tf_config':
        return
    addresses, index = {'slurm': _slurm, 'kubernetes': _kubernetes, 'gce': _gce}[kind](wish)
    os.environ['TF_CONFIG'] = json.dumps(
        {'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': index}})


def _in_slurm():
    return {'SLURM_PROCID', 'SLURM_STEP_NUM_TASKS', 'SLURMD_NODENAME', 'SLURM_LOCALID'} <= set(os.environ)


def _slurm(wish):
    import tensorflow as tf

    # Slurm itself says which GPUs a task sees. The resolver's own shares of them fail where there is no GPU, and where
    # each task sees its own only: these counts just lead it through the tasks of a host.
    shares = {'gpus_per_node': int(os.environ['SLURM_STEP_NUM_TASKS']), 'gpus_per_task': 1, 'auto_set_gpu': False}
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(port_base=wish.port, **shares)
        addresses = resolver.cluster_spec().as_dict()['worker']
    except (RuntimeError, ValueError) as error:
        raise UsageError(f'the Slurm step describes no cluster ({error}): start with srun.') from error
    # The resolver sorts hosts as words, Slurm numbers its tasks in another order: n10 comes before n2 in one only.
    own = f'{os.environ["SLURMD_NODENAME"]}:{wish.port + int(os.environ["SLURM_LOCALID"])}'
    if own not in addresses:
        raise UsageError(f'{own} is not among the tasks of the Slurm step ({", ".join(addresses)}): start with srun.')
    return addresses, addresses.index(own)


def _kubernetes(wish):
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise UsageError('--cluster=kubernetes needs the package kubernetes: pip install kubernetes.') from error
    import tensorflow as tf

    try:
        config.load_incluster_config()
    except config.ConfigException as error:
        raise UsageError(f'--cluster=kubernetes finds no cluster ({error}): run in a pod that has a service account.'
                         ) from error
    # A client of the resolver's own would look for ~/.kube/config, which a pod does not have.
    resolver = tf.distribute.cluster_resolver.KubernetesClusterResolver(
        {'worker': [wish.pods]}, wish.port, override_client=client.CoreV1Api())
    return _among(_wait_for(resolver, wish), 'give the pods hostNetwork: true, at most one on a host')


def _gce(wish):
    try:
        from google.auth.exceptions import GoogleAuthError
        from googleapiclient import discovery
    except ImportError as error:
        raise UsageError('--cluster=gce needs the package google-api-python-client: '
                         'pip install google-api-python-client.') from error
    import tensorflow as tf

    try:
        service = discovery.build('compute', 'v1')
    except GoogleAuthError as error:
        raise UsageError(f'--cluster=gce finds no credentials ({str(error).splitlines()[0]}): run on an instance whose '
                         'service account may read Compute Engine.') from error
    resolver = tf.distribute.cluster_resolver.GCEClusterResolver(
        *wish.instances.split('/'), wish.port, service=_Compute(service))
    return _among(_wait_for(resolver, wish), 'run on the instances of that group')


class _Compute:
    """The Compute Engine client with the argument that TensorFlow 2.21 misspells: it says instanceGroups."""

    def __init__(self, service):
        self._service, self._groups = service, service.instanceGroups()
        self.instances = service.instances

    def instanceGroups(self):
        return self

    def listInstances(self, instanceGroups, **arguments):
        return self._groups.listInstances(instanceGroup=instanceGroups, **arguments)

    def listInstances_next(self, **arguments):
        return self._groups.listInstances_next(**arguments)


def _wait_for(resolver, wish):
    """The addresses of the workers, once all are there."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            addresses = resolver.cluster_spec().as_dict().get('worker', [])
            found = f'{len(addresses)} workers'
        # What is raised differs between the clients of these clouds: a pod that is not ready, a group that is empty
        # ('items' is missing), a refused request.
        except Exception as error:
            addresses, found = [], str(error).splitlines()[0]
        if len(addresses) == wish.workers:
            return addresses
        if len(addresses) > wish.workers or time.monotonic() > deadline:
            raise UsageError(f'--cluster={wish.kind} waited for {wish.workers} workers and found: {found.rstrip(".")}. '
                             f'See that --workers={wish.workers} of {wish.pods or wish.instances} run, and no others.')
        time.sleep(_POLL_SECONDS)


def _among(addresses, remedy):
    """The addresses, and which of them is this host's."""
    for index, address in enumerate(addresses):
        host, port = address.rsplit(':', 1)
        # Nothing is sent. What is sent to one of the host's own addresses would come from there, too.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.connect((host, int(port)))
            if probe.getsockname()[0] == host:
                return addresses, index
    raise UsageError(f'none of the workers {", ".join(addresses)} is this host: {remedy}.')
