"""Random networks that an experiment prunes until they are near its dense one: which, when, and once each."""

import json

import pytest
import tensorflow as tf
import tf_keras
from fake_tasks import Task

from tf_lottery.errors import Interrupted, UsageError
from tf_lottery.experiment import config, plan, runs
from tf_lottery.experiment.experiment import Experiment
from tf_lottery.reporting import report
from tf_lottery.runtime import distribute, storage


def protocol(widths, task=None, **changes):
    settings = config.defaults()
    settings.update_from_flattened_dict({
        'data.name': 'digits', 'training.length': '20it', 'training.evaluate_every': '10it', 'pruning.levels': 0,
        'replicates': 1, 'construction.widths': widths, **changes})
    return config.check(settings, task=task)


def experiment(workdir, widths, stop=None, **changes):
    what = protocol(widths, **changes)
    runs.claim(str(workdir), what, 'python main.py')
    return Experiment(str(workdir), what, tf.distribute.get_strategy(), jit=False, stop=stop)


def file(workdir, replicate=0):
    return workdir / f'replicate_{replicate}' / 'level_00' / 'ticket' / 'construction.json'


def measured(workdir, replicate=0):
    """The width and the way of each row, once for the three parts of the network."""
    rows = json.loads(file(workdir, replicate).read_text())
    assert [row['target'] for row in rows] == ['neuron', 'layer', 'network'] * (len(rows) // 3)
    return list(dict.fromkeys((row['width'], row['way']) for row in rows))


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A dense network beside random ones of four widths, of which one is too wide to be searched for subsets."""
    workdir = tmp_path_factory.mktemp('constructions')
    done = experiment(workdir, (25, 2, 4))
    done.told = []
    done.run(lambda *told: done.told.append(told))
    return done, workdir


ALL = [(2, 'malach'), (2, 'pensia'), (4, 'malach'), (4, 'pensia'), (25, 'malach')]


def test_each_width_is_pruned_in_each_way_that_takes_so_many_products(finished):
    done, workdir = finished
    dense = runs.Run(0, 0, 'ticket')
    assert measured(workdir) == ALL
    assert runs.is_finished(str(workdir), done.protocol, 0)
    assert [told for told in done.told if isinstance(told[1], str)] == [
        (dense, f'construction {way} {width}') for width, way in ALL]
    result = storage.read_json(done.path(dense, 'result.json'))
    last = runs.read_constructions(str(workdir), dense)[-1]
    assert last['target_test'] == pytest.approx(result['final_test_accuracy'])
    # 64 inputs of both signs and a constant, and then 300 and 100 inputs with a constant.
    assert last['weights'] == 129 * 300 + 301 * 100 + 101 * 10
    assert last['hidden'] == 25 * (129 + 301 + 101)
    assert last['examples'] == 500


def test_a_run_that_is_killed_within_a_network_ends_in_the_same_bytes(finished, tmp_path):
    experiment(tmp_path, ()).run()
    reached = []

    def stop():
        reached.append(len(runs.read_constructions(str(tmp_path), runs.Run(0, 0, 'ticket'))))
        # At the second layer of the third network, when two have three rows each.
        return Interrupted(15, 'stopped') if reached.count(6) == 2 else None

    with pytest.raises(Interrupted):
        experiment(tmp_path, (25, 2, 4), stop).run()
    assert measured(tmp_path) == ALL[:2]
    experiment(tmp_path, (2, 4, 25)).run()
    assert file(tmp_path).read_bytes() == file(finished[1]).read_bytes()


def test_only_what_is_missing_is_measured_and_what_is_there_stays(finished, tmp_path):
    experiment(tmp_path, (4,)).run()
    before = file(tmp_path).read_text()
    assert runs.is_finished(str(tmp_path), protocol((4,)), 0)
    assert not runs.is_finished(str(tmp_path), protocol((2, 25)), 0)
    told = []
    experiment(tmp_path, (2, 25)).run(lambda *each: told.append(each[1]))
    assert told == [f'construction {way} {width}' for width, way in ALL if width != 4]
    assert measured(tmp_path) == ALL
    assert file(tmp_path).read_bytes() == file(finished[1]).read_bytes()
    assert json.loads(before)[0] in json.loads(file(tmp_path).read_text())
    experiment(tmp_path, (2, 25)).run(lambda *each: told.append(each[1]))
    assert len(told) == 3


def test_replicates_have_random_networks_of_their_own(tmp_path):
    experiment(tmp_path, (2,), replicates=2).run(replicate=1)
    assert not file(tmp_path, 0).exists()
    experiment(tmp_path, (2,), replicates=2).run()
    first, second = (json.loads(file(tmp_path, replicate).read_text()) for replicate in (0, 1))
    assert first[0]['max_weight_error'] != second[0]['max_weight_error']


def test_a_dense_network_that_diverged_is_left_out(tmp_path):
    done = experiment(tmp_path, (2,), **{'training.optimizer': 'sgd', 'training.learning_rate': 1e30})
    done.run()
    assert runs.outcome(*runs.read_results(str(tmp_path), [runs.Run(0, 0, 'ticket')])) == runs.DIVERGED
    assert runs.missing_constructions(str(tmp_path), done.protocol) == []
    assert not file(tmp_path).exists()


def test_workers_stop_together(tmp_path, monkeypatch):
    monkeypatch.setattr(distribute, 'stopping', lambda strategy, stop: Interrupted(15, 'another one was stopped'))
    experiment(tmp_path, ()).run()
    with pytest.raises(Interrupted, match='another one'):
        experiment(tmp_path, (2,)).run()


def test_the_plan_counts_networks_and_their_time(tmp_path):
    text = plan.describe(str(tmp_path), protocol((2, 16, 25), replicates=3), examples_per_second=1000)
    # 64 * 300 twice, 300 * 100 and 100 * 10 weights.
    assert 'to make     15 networks by pruning random ones, 69,400 weights each' in text
    without = plan.describe(str(tmp_path), protocol((), replicates=3), examples_per_second=1000)
    assert 'to make' not in without
    seconds = plan._construction_seconds(protocol((24,)), runs.Construction(runs.Run(0, 0, 'ticket'), 24, 'pensia'))
    # Twice 2^12 steps of 50 ns, and 24 products of 10 ns and 500 examples of 0.1 ns.
    assert seconds == pytest.approx(69_400 * (2 * 4096 * 50e-9 + 24 * 60e-9))


def test_the_plan_of_what_is_left(finished):
    done, workdir = finished
    assert 'to make' not in plan.describe(str(workdir), done.protocol, examples_per_second=1000)
    more = plan.describe(str(workdir), protocol((2, 4, 8, 25)), examples_per_second=1000)
    assert 'to make     2 networks' in more


@pytest.mark.parametrize(('changes', 'sentence'), [
    ({'model.name': 'conv2', 'data.name': 'mnist'}, r'construction.widths is \(2,\), which is for a chain of dense '
     r'layers with relu between them, and the weight conv1/kernel of conv2 on mnist has the shape \(3, 3, 1, 64\): '
     r'give construction.widths=\(\), or another network.'),
    ({'construction.widths': (2, 2)}, 'construction.widths has 2 2 times: give it once'),
    ({'construction.widths': (0,)}, 'an element of construction.widths is 0: give a whole number of 1 or more'),
    ({'construction.widths': (5000,)}, 'an element of construction.widths is 5000: .* at most 4,096')])
def test_what_cannot_be_is_refused(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        protocol(**{'widths': (2,), **changes})


def test_other_layers_are_refused_before_anything_is_trained(tmp_path):
    layers = tf_keras.layers
    task = Task(lambda: tf_keras.Sequential([
        layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(300, 'tanh', name='fc1'),
        layers.Dense(100, 'relu', name='fc2'), layers.Dense(10, name='output')], name='own'))
    what = protocol((2,), task=task)
    with pytest.raises(UsageError, match="'own' has Dense 'fc1' in front of 'fc2' with another activation"):
        Experiment(str(tmp_path / 'run'), what, tf.distribute.get_strategy(), jit=False)
    assert not (tmp_path / 'run').exists()


def test_widths_are_no_other_experiment():
    assert config.identity(protocol((2,)).config) == config.identity(protocol(()).config)


def test_the_report_of_a_finished_experiment_has_the_pictures_and_the_table(finished):
    _, workdir = finished
    page = report.write(str(workdir), report.find(str(workdir)))
    text = (workdir / 'report' / 'index.html').read_text()
    assert page.endswith('index.html')
    assert 'Pictures against density appear' not in text
    assert text.count('A random network, pruned') == 3
    for name in ('weights', 'outputs', 'accuracy'):
        assert (workdir / 'report' / f'construction_{name}.png').exists()
    assert len((workdir / 'report' / 'construction.csv').read_text().splitlines()) == 1 + 15
