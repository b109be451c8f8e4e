"""Tickets of another experiment: what is taken from it, what stays an experiment's own, and what is refused."""

import itertools
import os
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_lottery
from tf_lottery.branches import BRANCHES, numbered
from tf_lottery.errors import Interrupted, UsageError
from tf_lottery.experiment import config, plan, runs, sources
from tf_lottery.experiment.experiment import Experiment
from tf_lottery.experiment.place import At
from tf_lottery.pruning import wrapper
from tf_lottery.reporting import report, results
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, Ticket

STEPS, REWIND = 12, 4
TAKERS = ('transferred', 'transferred_mask', 'transferred_weights')


def task(classes, units=8, name='fc'):
    """A dense layer with batch normalisation, and an output layer of so many classes, on 40 made-up examples."""
    def build(seed):
        initialiser = tf_keras.initializers.GlorotNormal
        model = tf_keras.Sequential([
            tf_keras.layers.Dense(units, name=name, input_shape=(6,), kernel_initializer=initialiser(seed)),
            tf_keras.layers.BatchNormalization(name='norm'),
            tf_keras.layers.Dense(classes, name='output', kernel_initializer=initialiser(seed + 1))], name='toy')
        model.compile('sgd', tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), ['accuracy'])
        return model

    rng = np.random.default_rng(classes)
    inputs, targets = rng.normal(size=(40, 6)).astype(np.float32), rng.integers(classes, size=40)
    return tf_lottery.KerasTask(build, lambda: dict.fromkeys(('train', 'validation', 'test'), (inputs, targets)))


TASKS = {classes: task(classes) for classes in (2, 3)}


def chosen(**changes):
    settings = config.defaults()
    settings.task = ':toy'
    settings.training.length = f'{STEPS}it'
    settings.training.batch_size = 10
    settings.training.evaluate_every = '6it'
    settings.training.checkpoint_every = '2it'
    settings.training.block = 2
    settings.pruning.rewind_to = f'{REWIND}it'
    settings.pruning.levels = 2
    settings.replicates = 1
    settings.update_from_flattened_dict(changes)
    return settings


def protocol(classes=3, own=None, **changes):
    return config.check(chosen(**changes), task=own or TASKS[classes])


def experiment(workdir, classes=3, stop=None, **changes):
    what = protocol(classes, **changes)
    runs.claim(str(workdir), what, 'python main.py')
    return Experiment(str(workdir), what, tf.distribute.get_strategy(), jit=False, stop=stop)


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """An experiment with two classes, and tickets of two levels."""
    done = experiment(tmp_path_factory.mktemp('sources') / 'pair', 2)
    done.run()
    return done


@pytest.fixture(scope='module')
def target(source, tmp_path_factory):
    """One with three, which takes from it in all ways."""
    done = experiment(tmp_path_factory.mktemp('targets') / 'triple', branches=('ticket', 'random_global', *TAKERS),
                      sources=(source.workdir,))
    done.run()
    return done


def ticket(done, branch, level=1):
    return At(done, runs.Run(0, level, branch)).ticket()


def rewound(done):
    return storage.read_arrays(storage.join(done.workdir, 'replicate_0/rewind/rewound.npz'))


def initial(done):
    return storage.read_arrays(storage.join(done.workdir, 'replicate_0/rewind/initial.npz'))


OWN = ('output/bias', 'output/kernel')
SHARED = ('fc/kernel', 'fc/bias', 'norm/gamma', 'norm/beta', 'norm/moving_mean', 'norm/moving_variance')


def equal(left, right, names):
    return all(np.array_equal(left[name], right[name]) for name in names)


@pytest.mark.parametrize('level', [1, 2])
def test_the_ticket_of_the_source_is_trained(source, target, level):
    taken, its = ticket(target, 'transferred_from_pair', level), source.mask(runs.Run(0, level, 'ticket'))
    assert np.array_equal(taken.mask['fc/kernel'], its['fc/kernel'])
    assert its['fc/kernel'].sum() == round(48 * 0.8**level)
    assert equal(taken.weights, rewound(source), SHARED)
    assert not equal(rewound(target), rewound(source), ('fc/kernel', 'norm/moving_mean'))
    assert taken.step == REWIND


def test_what_the_source_has_in_no_such_shape_is_dense_and_drawn_anew(target):
    first, second = (ticket(target, 'transferred_from_pair', level) for level in (1, 2))
    assert first.mask['output/kernel'].shape == (8, 3)
    assert first.mask['output/kernel'].all()
    new = wrapper.get_weights(TASKS[3].network(At(target, runs.Run(0, 1, 'transferred_from_pair')).seed))
    assert equal(first.weights, new, OWN)
    for other in (second.weights, rewound(target), initial(target)):
        assert not equal(first.weights, other, ['output/kernel'])


def test_the_mask_alone_and_the_weights_alone(source, target):
    masked, weighted = ticket(target, 'transferred_mask_from_pair'), ticket(target, 'transferred_weights_from_pair')
    assert masked.mask == ticket(target, 'transferred_from_pair').mask
    assert not equal(masked.weights, rewound(source), ['fc/kernel'])
    assert masked.step == 0
    assert weighted.mask == ticket(target, 'ticket').mask
    assert weighted.mask['fc/kernel'].tolist() != masked.mask['fc/kernel'].tolist()
    assert equal(weighted.weights, rewound(source), SHARED)
    assert weighted.step == REWIND


def test_all_of_it_is_said(target):
    by_run = {row['run']: row for row in results.load_results(target.workdir).to_dict('records')}
    for name, own in (('transferred', list(OWN)), ('transferred_mask', ['output/kernel']),
                      ('transferred_weights', list(OWN))):
        assert by_run[f'replicate_0/level_01/{name}_from_pair']['own'] == own
    assert 'own' not in storage.read_json(storage.join(target.workdir, 'replicate_0/level_01/ticket/result.json'))
    found = report.find(target.workdir)
    assert ('Transferred from pair: that source has output/bias, output/kernel in no such shape, so that here they are '
            'dense and of this experiment itself (transfer.own).') in report._notes(found)
    assert {'Transferred from pair', 'Mask from pair', 'Weights from pair'} <= {
        title for title, _ in report._blocks(found.summaries)}
    text = plan.describe(target.workdir, target.protocol)
    assert (f"tickets of  pair: {target.protocol.sources['pair'].path}, the model 'toy', from step 4; dense and "
            'initialised anew, for it has other shapes: output/kernel\n') in text
    assert re.search(r'^Transferred from pair +1-2 +2 +2 +0$', text, re.MULTILINE)


def test_a_report_needs_no_source(source, target, tmp_path):
    shutil.copytree(target.workdir, tmp_path / 'copied')
    stored = runs.read_config(str(tmp_path / 'copied'))
    stored['config']['sources'] = [str(tmp_path / 'moved' / 'pair')]
    restored = config.restore(stored, task=TASKS[3])
    assert {run.branch for run in runs.wanted(restored)} == {run.branch for run in runs.wanted(target.protocol)}
    assert restored.sources['pair'].shapes == {'fc/kernel': (6, 8), 'output/kernel': (8, 2)}


def test_own_weights_may_be_rewound_and_training_start_anew(source, tmp_path):
    done = experiment(tmp_path / 'anew', branches=('transferred',), sources=(source.workdir,), **{
        'transfer.own': 'rewound', 'transfer.start': 'anew', 'pruning.levels': 1})
    done.run()
    taken = ticket(done, 'transferred_from_pair')
    statistics = [name for name in SHARED if 'moving' in name]
    assert equal(taken.weights, rewound(done), OWN)
    assert equal(taken.weights, initial(done), statistics)
    assert equal(taken.weights, rewound(source), [name for name in SHARED if name not in statistics])
    assert taken.step == 0
    result = storage.read_json(done.path(runs.Run(0, 1, 'transferred_from_pair'), 'result.json'))
    assert (result['start_step'], result['end_step']) == (0, STEPS)


def test_a_global_shuffle_keeps_the_count_of_the_whole_network(target):
    own, shuffled = ticket(target, 'ticket', 2).mask, ticket(target, 'random_global', 2)
    assert shuffled.mask.kept == own.kept
    assert shuffled.mask['fc/kernel'].sum() != own['fc/kernel'].sum()
    assert shuffled.step == 0
    assert not equal(shuffled.weights, initial(target), ['fc/kernel'])


def test_a_ticket_file_is_trained_at_the_level_of_its_density(source, tmp_path):
    path = str(tmp_path / 'found.ticket')
    its = Ticket(source.mask(runs.Run(0, 2, 'ticket')), rewound(source), REWIND)
    tf_lottery.save_ticket(path, its)
    what = protocol(branches=('transferred',), sources=(path,))
    assert [run.folder for run in runs.wanted(what)] == [
        'replicate_0/level_00/ticket', 'replicate_0/level_02/transferred_from_found']
    done = experiment(tmp_path / 'target', branches=('transferred',), sources=(path,))
    done.run()
    taken = ticket(done, 'transferred_from_found', 2)
    assert np.array_equal(taken.mask['fc/kernel'], its.mask['fc/kernel'])
    assert equal(taken.mask.apply(taken.weights), its.start, SHARED)
    assert taken.step == REWIND
    storage.write_bytes(path, storage.read_bytes(path)[:-1])
    with pytest.raises(UsageError, match='has changed since tickets were first taken from it'):
        ticket(done, 'transferred_from_found', 2)


@pytest.mark.parametrize(('path', 'name'), [
    ('runs/mnist', 'mnist'), ('gs://bucket/runs/mnist/', 'mnist'), ('mnist', 'mnist'), ('found.ticket', 'found'),
    ('runs/mnist/export/replicate_0_level_03_rewound/rewound.ticket', 'replicate_0_level_03_rewound')])
def test_what_a_source_is_called(path, name):
    assert sources.name_of(path) == name


def refused(source, sentence, **changes):
    with pytest.raises(UsageError) as error:
        protocol(**{'branches': ('transferred',), 'sources': (source.workdir,), **changes})
    assert str(error.value) == sentence.format(path=source.workdir)


@pytest.mark.parametrize(('changes', 'sentence'), [
    ({'sources': ()}, "the branch 'transferred' takes from another experiment, and sources is empty: give its folder, "
     "as in sources=('runs/mnist',), or leave out the branch."),
    ({'branches': ('ticket',)}, "sources is ('{path}',), from which no branch of this experiment takes anything: leave "
     "it out, or choose the branch 'transferred' or 'transferred_mask' or 'transferred_weights'."),
    ({'pruning.rewind_to': '0it,4it'}, "pruning.rewind_to is '0it,4it', and what is taken from sources is rewound "
     'there: give one step.'),
    ({'branches': ('transferred_mask',), 'transfer.start': 'anew'}, "transfer.start is 'anew', which no branch of this "
     "experiment reads: leave it out, or choose the branch 'transferred' or 'transferred_weights'."),
    ({'replicates': 2}, 'replicates is 2, and {path}, which sources names, has replicates=1: give as many or fewer, or '
     'run more of the source.'),
    ({'pruning.levels': 3}, 'pruning.levels is 3, and {path}, which sources names, has pruning.levels=2: give as many '
     'or fewer, or run more of the source.'),
    ({'pruning.fraction': 0.5}, 'pruning.fraction is 0.5, and {path}, which sources names, was pruned with 0.2: give '
     'the same, or another source.'),
    ({'pruning.structure': 'block_2x2'}, "pruning.structure is 'block_2x2', and {path}, which sources names, was "
     'pruned with None: give the same, or another source.'),
    ({'training.length': '4it', 'pruning.rewind_to': '2it'}, 'sources names {path}, whose tickets start at step 4, and '
     "training here ends at step 4: give a longer training.length, or transfer.start='anew'."),
    ({'own': task(3, name='other')}, "sources names {path}, which is of another network (the model 'toy', and this "
     "is the model 'toy'): the weight fc/kernel is of that one only, so give a source of the same network."),
    ({'own': task(3, units=5)}, 'sources names {path}, none of whose weights has the shape that it has here (fc/kernel '
     'is (6, 8) there and (6, 5) here): give a source of the same network.'),
])
def test_what_cannot_be_a_source_is_refused(source, changes, sentence):
    refused(source, sentence, **changes)


def test_a_folder_that_is_none_is_refused(source, tmp_path):
    for path in (str(tmp_path / 'nowhere'), str(tmp_path)):
        with pytest.raises(UsageError, match=f'^sources names {path}, which is neither the folder of an experiment'):
            protocol(branches=('transferred',), sources=(path,))


def test_a_source_must_be_finished_and_of_one_rewinding_step(source, tmp_path):
    path = str(tmp_path / 'copied')
    shutil.copytree(source.workdir, path)
    os.remove(storage.join(path, 'replicate_0/level_02/ticket/result.json'))
    with pytest.raises(UsageError, match=r'which has not finished replicate_0/level_02/ticket: run it to its end'):
        protocol(branches=('transferred',), sources=(path,))
    protocol(branches=('transferred',), sources=(path,), **{'branch_levels': (1,)})
    stored = runs.read_config(path)
    stored['config']['pruning']['rewind_to'] = '0it,4it'
    storage.write_json(storage.join(path, 'config.json'), stored)
    with pytest.raises(UsageError, match='whose tickets are rewound to several steps, 0it,4it: give an experiment'):
        protocol(branches=('transferred',), sources=(path,), **{'branch_levels': (1,)})


def test_two_sources_of_one_name_are_refused(source, tmp_path):
    other = str(tmp_path / 'pair')
    shutil.copytree(source.workdir, other)
    refused(source, f"sources names {{path}} and {other}, which are both called 'pair', as the runs that take from "
            'them would be: rename one of the two.', sources=(source.workdir, other))


def test_a_ticket_file_has_no_pruned_weights_to_give(source, tmp_path):
    path, frozen = str(tmp_path / 'one.ticket'), str(tmp_path / 'frozen.ticket')
    mask = source.mask(runs.Run(0, 1, 'ticket'))
    tf_lottery.save_ticket(path, Ticket(mask, rewound(source)))
    tf_lottery.save_ticket(frozen, Ticket(mask, rewound(source), 0, {name: rewound(source)[name] for name in mask}))
    with pytest.raises(UsageError, match='a ticket file, which does not keep the weights that are pruned'):
        protocol(branches=('transferred_weights',), sources=(path,))
    with pytest.raises(UsageError, match='whose pruned weights are frozen at other values than zero'):
        protocol(branches=('transferred',), sources=(frozen,))
    with pytest.raises(UsageError, match='this experiment has no level to train it at: give pruning.levels=1'):
        protocol(branches=('transferred',), sources=(path,), **{'pruning.levels': 0})


def test_a_source_that_changes_is_refused_before_a_run_and_by_the_run(source, tmp_path):
    path, workdir = str(tmp_path / 'pair'), tmp_path / 'target'
    shutil.copytree(source.workdir, path)
    settings = {'branches': ('transferred',), 'sources': (path,), 'pruning.levels': 1}
    done = experiment(workdir, **settings)
    for run in done.pending()[:1]:
        done._execute(run, None)
    mask = storage.join(path, 'replicate_0/level_01/ticket/mask.npz')
    before = storage.read_bytes(mask)
    changed = Mask({name: np.roll(array, 1) for name, array in source.mask(runs.Run(0, 1, 'ticket')).items()})
    storage.write_arrays(mask, changed.to_arrays())
    sentence = (f'replicate_0/level_01/ticket/mask.npz of {path}, a source of this experiment, has changed since '
                'tickets were first taken from it: put it back as it was, or choose another --workdir.')
    with pytest.raises(UsageError, match=f'^{re.escape(sentence)}$'):
        done.run()
    with pytest.raises(UsageError, match=f'^{re.escape(sentence)}$'):
        experiment(workdir, **settings)
    storage.write_bytes(mask, before)
    again = experiment(workdir, **settings)
    again.run()
    assert again.pending() == []


def test_sources_are_added_and_what_was_taken_stays(source, tmp_path):
    workdir, other = tmp_path / 'target', str(tmp_path / 'more')
    experiment(workdir, branches=('transferred',), sources=(source.workdir,), **{'pruning.levels': 1})
    shutil.copytree(source.workdir, other)
    experiment(workdir, branches=('transferred',), sources=(source.workdir, other))
    stored = runs.read_config(str(workdir))['sources']
    assert list(stored) == ['pair', 'more']
    assert stored['pair']['files'] == stored['more']['files']
    assert sorted(stored['pair']['files']) == [
        'replicate_0/level_01/ticket/mask.npz', 'replicate_0/level_02/ticket/mask.npz',
        'replicate_0/rewind/rewound.npz']


def test_a_ticket_that_the_source_never_came_to_is_left_out(source, tmp_path):
    path = str(tmp_path / 'pair')
    shutil.copytree(source.workdir, path)
    emptied = storage.join(path, 'replicate_0/level_01/ticket')
    result = storage.read_json(storage.join(emptied, 'result.json'))
    shutil.rmtree(emptied)
    storage.write_json(storage.join(emptied, 'result.json'), {**result, 'outcome': 'emptied'})
    done = experiment(tmp_path / 'target', branches=('transferred',), sources=(path,), **{'pruning.levels': 1})
    done.run()
    result = storage.read_json(done.path(runs.Run(0, 1, 'transferred_from_pair'), 'result.json'))
    assert result['outcome'] == 'left out'
    assert result['reason'] == f'replicate_0/level_01/ticket of {path} would have had a layer without weights.'


def test_a_run_that_was_stopped_ends_in_the_same_bits(source, target, tmp_path):
    settings = {'branches': target.protocol.config.branches, 'sources': (source.workdir,)}
    resumed, stops = experiment(tmp_path / 'stopped', **settings), 0
    while True:
        calls = itertools.count(1)
        resumed._stop = lambda calls=calls: Interrupted(15, 'stopped') if next(calls) == 17 else None
        try:
            resumed.run()
        except Interrupted:
            stops += 1
        else:
            break
    assert stops > 1
    for run in runs.wanted(target.protocol):
        for name in ('mask.npz', 'weights.npz', 'metrics.csv', 'result.json'):
            assert storage.read_bytes(resumed.path(run, name)) == storage.read_bytes(target.path(run, name)), run


def test_sources_that_will_be_there_are_planned(source):
    promised = {'runs/none': protocol(2, branches=('ticket',))}

    def planned(**changes):
        alone = config.check_alone(chosen(branches=('transferred',), sources=('runs/none',), **changes), task=TASKS[3])
        return sources.find(alone, promised)

    assert planned() == {'none': sources.Source('runs/none', "the model 'toy'", {
        'fc/kernel': (6, 8), 'output/kernel': (8, 2)}, REWIND)}
    with pytest.raises(UsageError, match='replicates is 2, and runs/none, which sources names, has replicates=1'):
        planned(replicates=2)


def test_branches_of_sources_are_called_by_both_and_look_different():
    assert BRANCHES['transferred_weights_from_a_from_b'].title == 'Weights from a_from_b'
    assert BRANCHES['transferred_from_a'].origin == 'a'
    assert all(name in BRANCHES for name in ('ticket', 'transferred', 'transferred_from_a'))
    for name in ('ticket_from_a', 'transferred_from_', 'nothing'):
        assert name not in BRANCHES
        with pytest.raises(KeyError):
            BRANCHES[name]
    names = ['transferred_from_b', 'ticket', 'transferred_mask_from_a', 'transferred_from_a', 'ticket']
    numbers = numbered(names)
    assert list(numbers) == ['ticket', 'transferred_from_a', 'transferred_mask_from_a', 'transferred_from_b']
    assert len(set(numbers.values())) == 4
