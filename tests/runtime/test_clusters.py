"""Each kind of cluster becomes the TF_CONFIG that TensorFlow's workers read, or a sentence."""

import json
import os
import sys
import types

import pytest

from tf_lottery.errors import UsageError
from tf_lottery.runtime import clusters

# Reserved for documentation (RFC 5737): never this host's own.
OTHER = '192.0.2.1'


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    # Set and deleted, so that what `find` writes is taken back afterwards.
    monkeypatch.setenv('TF_CONFIG', '')
    monkeypatch.delenv('TF_CONFIG')
    for name in [name for name in os.environ if name.startswith('SLURM')]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(clusters, '_POLL_SECONDS', 0)


def found(wish):
    clusters.check(wish)
    clusters.find(wish)
    config = json.loads(os.environ['TF_CONFIG'])
    assert config['task']['type'] == 'worker'
    return config['cluster']['worker'], config['task']['index']


@pytest.fixture
def slurm(monkeypatch):
    """A step of four tasks on three hosts, of which this is the one on n10."""
    for name, value in {'PROCID': 3, 'LOCALID': 0, 'STEP_NUM_TASKS': 4, 'STEP_NODELIST': 'n[1-2,10]',
                        'STEP_TASKS_PER_NODE': '1,2,1'}.items():
        monkeypatch.setenv(f'SLURM_{name}', str(value))
    monkeypatch.setenv('SLURMD_NODENAME', 'n10')


@pytest.mark.parametrize('kind', ['auto', 'slurm'])
def test_a_slurm_step_is_a_cluster(slurm, kind):
    # Sorted as words: the task that Slurm numbers 3 is worker 1.
    assert found(clusters.Wish(kind, port=7000)) == (['n1:7000', 'n10:7000', 'n2:7000', 'n2:7001'], 1)


def test_the_second_task_of_a_host_listens_on_the_next_port(slurm, monkeypatch):
    monkeypatch.setenv('SLURMD_NODENAME', 'n2')
    monkeypatch.setenv('SLURM_LOCALID', '1')
    assert found(clusters.Wish('slurm')) == (['n1:8470', 'n10:8470', 'n2:8470', 'n2:8471'], 3)


def test_a_step_of_one_task_is_no_cluster_and_tf_config_comes_first(slurm, monkeypatch):
    monkeypatch.setenv('SLURM_STEP_NUM_TASKS', '1')
    clusters.find(clusters.Wish())
    assert 'TF_CONFIG' not in os.environ
    monkeypatch.setenv('SLURM_STEP_NUM_TASKS', '4')
    monkeypatch.setenv('TF_CONFIG', '{"cluster": {"worker": ["a:1", "b:1"]}}')
    clusters.find(clusters.Wish())
    assert clusters.workers() == ['a:1', 'b:1']


@pytest.mark.parametrize(('name', 'value', 'sentence'), [
    ('SLURM_STEP_NODELIST', 'n[1-', 'the Slurm step describes no cluster (Invalid hostlist format'),
    ('SLURM_STEP_TASKS_PER_NODE', '1', 'the Slurm step describes no cluster (Requested 4 tasks but only 1'),
    ('SLURMD_NODENAME', 'n3', 'n3:8470 is not among the tasks of the Slurm step (n1:8470, n10:8470')])
def test_a_step_that_makes_no_sense_is_refused(slurm, monkeypatch, name, value, sentence):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as refused:
        found(clusters.Wish('slurm'))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(('wish', 'sentence'), [
    (clusters.Wish('slurm'), '--cluster=slurm needs a Slurm step'),
    (clusters.Wish('tf_config'), 'needs the cluster in the environment variable TF_CONFIG'),
    (clusters.Wish('kubernetes', workers=2), '--cluster=kubernetes needs the label selector of the pods'),
    (clusters.Wish('kubernetes', pods='job-name=lottery'), '--cluster=kubernetes needs the label selector of the pods'),
    (clusters.Wish('gce', workers=2, instances='group'), '--cluster=gce needs a group of instances')])
def test_each_kind_says_what_it_needs(wish, sentence):
    with pytest.raises(UsageError, match=sentence):
        clusters.check(wish)


TWO = {'worker': ['a:1', 'b:1']}


@pytest.mark.parametrize(('config', 'sentence'), [
    ('', 'TF_CONFIG is not JSON (Expecting value: line 1 column 1 (char 0)): write'),
    ('{cluster', 'TF_CONFIG is not JSON (Expecting property name'),
    ('[]', 'TF_CONFIG is not an object of JSON: write it as in \'{"cluster": {"worker": ["host1:2222", '),
    ({'cluster': None}, 'TF_CONFIG has a cluster that does not give a list of addresses for each job: write'),
    ({'cluster': {'worker': 'a:1'}}, 'TF_CONFIG has a cluster that does not give a list of addresses for each job'),
    ({'cluster': {'worker': [1, 2]}}, 'TF_CONFIG has a cluster that does not give a list of addresses for each job'),
    ({'cluster': {'master': ['a:1']}}, "TF_CONFIG has a cluster with the job 'master', which TensorFlow does not know"),
    ({'cluster': {'chief': ['a:1', 'b:1']}}, 'TF_CONFIG has a cluster with 2 chiefs, and there is one at most'),
    ({'cluster': {**TWO, 'ps': ['c:1']}}, "TF_CONFIG has a cluster with the job 'ps', for which there is no use: "),
    ({'cluster': TWO, 'task': 0}, 'TF_CONFIG has a task that is not an object of JSON'),
    ({'cluster': TWO}, "TF_CONFIG has a task of type 'None', which its cluster does not have"),
    ({'cluster': TWO, 'task': {'type': 'chief', 'index': 0}}, "TF_CONFIG has a task of type 'chief', which its cluste"),
    ({'cluster': TWO, 'task': {'type': ['worker'], 'index': 0}}, 'TF_CONFIG has a task of type "[\'worker\']", which'),
    ({'cluster': TWO, 'task': {'type': 'worker', 'index': 2}}, 'TF_CONFIG has a task of index 2, and its cluster has 2 '
                                                               "of type 'worker', counted from 0: write"),
    ({'cluster': TWO, 'task': {'type': 'worker', 'index': -1}}, 'TF_CONFIG has a task of index -1, and its cluster'),
    ({'cluster': TWO, 'task': {'type': 'worker', 'index': '0'}}, "TF_CONFIG has a task of index '0', and its cluster"),
    ({'cluster': TWO, 'task': {'type': 'worker'}}, 'TF_CONFIG has a task of index None, and its cluster has 2 of'),
    ({'cluster': TWO, 'task': {'type': 'evaluator', 'index': 0}},
     "TF_CONFIG makes this process a task of 'evaluator', which has nothing to do here: the workers evaluate. Start"),
    ({'task': {'type': 'evaluator', 'index': 0}}, "TF_CONFIG makes this process a task of 'evaluator'"),
    ({'task': {'type': 'ps', 'index': 0}}, "TF_CONFIG makes this process a task of 'ps', which has nothing to do here: "
                                           'gradients are summed by the workers themselves.')])
def test_a_tf_config_that_makes_no_sense_is_refused(monkeypatch, config, sentence):
    monkeypatch.setenv('TF_CONFIG', config if isinstance(config, str) else json.dumps(config))
    for wish in (clusters.Wish(), clusters.Wish('tf_config')):
        with pytest.raises(UsageError) as refused:
            clusters.check(wish)
        assert str(refused.value).startswith(sentence)
        assert len(str(refused.value).splitlines()) == 1


def test_who_leaves_a_cluster_is_alone(monkeypatch):
    monkeypatch.setenv('TF_CONFIG', json.dumps({'cluster': TWO, 'task': {'type': 'worker', 'index': 1}}))
    assert clusters.own_index() == 1
    clusters.leave()
    assert clusters.own_index() == 0 and clusters.workers() == []


KUBERNETES = clusters.Wish('kubernetes', workers=2, pods='job-name=lottery')


@pytest.fixture
def pods(monkeypatch):
    """The client of Kubernetes as far as it is used; its answers, lists of (name, phase, host), in turn."""
    answers = []

    class CoreV1Api:
        def list_pod_for_all_namespaces(self, label_selector):
            assert label_selector == 'job-name=lottery'
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            return types.SimpleNamespace(items=[types.SimpleNamespace(
                metadata=types.SimpleNamespace(name=name), status=types.SimpleNamespace(phase=phase, host_ip=host))
                for name, phase, host in answer])

    class ConfigException(Exception):
        pass

    def load_incluster_config():
        if not answers:
            raise ConfigException('Service host/port is not set.')

    module = types.ModuleType('kubernetes')
    module.client = types.SimpleNamespace(CoreV1Api=CoreV1Api)
    module.config = types.SimpleNamespace(load_incluster_config=load_incluster_config, ConfigException=ConfigException)
    monkeypatch.setitem(sys.modules, 'kubernetes', module)
    return answers


def test_pods_are_a_cluster_once_all_run(pods):
    first, second = ('lottery-0-x', 'Running', OTHER), ('lottery-1-y', 'Running', '127.0.0.1')
    pods += [[first], [first, ('lottery-1-y', 'Pending', None)], [second, first]]
    assert found(KUBERNETES) == ([f'{OTHER}:8470', '127.0.0.1:8470'], 1)


def test_pods_that_never_run_end_in_a_sentence(pods, monkeypatch):
    monkeypatch.setattr(clusters, '_WAIT_SECONDS', 0)
    pods.append([('lottery-0-x', 'Failed', OTHER)])
    with pytest.raises(UsageError, match=r'waited for 2 workers and found: Pod "lottery-0-x" is not running; phase: '
                                         r'"Failed". See that --workers=2 of job-name=lottery run, and no others'):
        found(KUBERNETES)
    pods[:] = [[(f'lottery-{number}', 'Running', OTHER) for number in range(3)]]
    with pytest.raises(UsageError, match='waited for 2 workers and found: 3 workers'):
        found(KUBERNETES)


def test_a_pod_must_have_the_address_of_its_host(pods):
    pods.append([(f'lottery-{number}', 'Running', OTHER) for number in range(2)])
    with pytest.raises(UsageError, match='is this host: give the pods hostNetwork: true'):
        found(KUBERNETES)


def test_outside_of_kubernetes_there_are_no_pods(pods):
    with pytest.raises(UsageError, match=r'--cluster=kubernetes finds no cluster \(Service host/port is not set'):
        found(KUBERNETES)


GCE = clusters.Wish('gce', workers=2, instances='project/zone/group')


@pytest.fixture
def instances(monkeypatch):
    """The client of Compute Engine as far as it is used, its arguments named as in Google's reference."""
    addresses = {}

    class GoogleAuthError(Exception):
        pass

    def request(answer):
        return types.SimpleNamespace(execute=lambda: answer)

    class Groups:
        def listInstances(self, *, project, zone, instanceGroup, body, orderBy):
            assert (project, zone, instanceGroup) == ('project', 'zone', 'group')
            return request({'items': [{'instance': f'https://compute/zones/zone/instances/{name}'}
                                      for name in addresses]} if addresses else {})

        def listInstances_next(self, *, previous_request, previous_response):
            return None

    class Instances:
        def get(self, *, project, zone, instance):
            return request({'networkInterfaces': [{'networkIP': addresses[instance]}]})

    def build(name, version):
        if 'refused' in addresses:
            raise GoogleAuthError('Your default credentials were not found.')
        return types.SimpleNamespace(instanceGroups=Groups, instances=Instances)

    for name, content in {
            'googleapiclient': {'discovery': types.SimpleNamespace(build=build)},
            'google.auth': {}, 'google.auth.exceptions': {'GoogleAuthError': GoogleAuthError}}.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return addresses


def test_a_group_of_instances_is_a_cluster(instances):
    instances.update(first=OTHER, second='127.0.0.1')
    assert found(GCE) == (['127.0.0.1:8470', f'{OTHER}:8470'], 0)


def test_a_group_that_is_empty_or_not_readable_ends_in_a_sentence(instances, monkeypatch):
    monkeypatch.setattr(clusters, '_WAIT_SECONDS', 0)
    with pytest.raises(UsageError, match=r"found: 'items'. See that --workers=2 of project/zone/group run"):
        found(GCE)
    instances['refused'] = OTHER
    with pytest.raises(UsageError, match=r'finds no credentials \(Your default credentials were not found'):
        found(GCE)


@pytest.mark.parametrize(('wish', 'module'), [(KUBERNETES, 'kubernetes'), (GCE, 'googleapiclient')])
def test_a_missing_client_is_named(monkeypatch, wish, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match='needs the package .*: pip install '):
        found(wish)
