"""An experiment in one process: what each branch trains, and what happens when something goes wrong."""

import contextlib
import dataclasses
import errno
import itertools
import os
import shutil
import time
import types

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from fake_files import fail

from tf_lottery.branches import BRANCHES, NEVER
from tf_lottery.errors import (
    ClusterError,
    CorruptFileError,
    EmptiedError,
    Interrupted,
    MissingFileError,
    StorageError,
)
from tf_lottery.experiment import config, runs
from tf_lottery.experiment.claims import Claims
from tf_lottery.experiment.experiment import Experiment, _write_tensorboard
from tf_lottery.experiment.place import At, replicate_seeds
from tf_lottery.pruning import updates, wrapper
from tf_lottery.pruning.allocation import prune
from tf_lottery.pruning.initialisations import noisy
from tf_lottery.runtime import distribute, locks, storage
from tf_lottery.tasks.measure import CLASSIFICATION, Measures
from tf_lottery.ticket import Mask
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.derivatives import Derivatives
from tf_lottery.training.metrics import from_csv
from tf_lottery.training.trainer import Seeds

STEPS, REWIND = 60, 20
EVALUATED = ('validation_loss', 'validation_accuracy', 'test_loss', 'test_accuracy')


# Those whose masks change while they are trained ask for steps at which they do.
CHANGING = tuple(branch for branch, row in BRANCHES.items() if row.updates)
# Those that take from another experiment are in test_sources.py.
STAYING = tuple(branch for branch, row in BRANCHES.items() if branch not in CHANGING and not row.transfers)
# Those that are trained under the mask that they start with, or are the source of their own.
LEARNED = tuple(branch for branch, row in BRANCHES.items() if row.learns)


def protocol(branches=STAYING, levels=2, **changes):
    settings = config.defaults()
    settings.data.name = 'digits'
    settings.training.length = f'{STEPS}it'
    settings.training.evaluate_every = '20it'
    settings.training.checkpoint_every = '20it'
    settings.training.block = 10
    settings.pruning.rewind_to = f'{REWIND}it'
    settings.pruning.output_fraction = 0.1
    settings.pruning.levels = levels
    settings.branches = branches
    settings.reinits = 2
    settings.replicates = 1
    settings.update_from_flattened_dict(changes)
    return config.check(settings)


def experiment(workdir, *arguments, stop=None, **changes):
    what = protocol(*arguments, **changes)
    runs.claim(str(workdir), what, 'python main.py')
    # Without XLA, whose compiling would take longer than all these trainings; test_resume.py has it on.
    return Experiment(str(workdir), what, tf.distribute.get_strategy(), jit=False, stop=stop)


def stop_after(blocks):
    """What stops an experiment once it has trained so many blocks."""
    calls = itertools.count(1)
    return lambda: Interrupted(15, 'stopped') if next(calls) == blocks else None


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """Every branch whose mask stays at two levels, and in `told` what it said of its progress."""
    done = experiment(tmp_path_factory.mktemp('experiment'))
    done.told = []
    done.run(lambda *told: done.told.append(told))
    return done


def test_every_branch_ran_once(finished):
    assert finished.pending() == []
    names = [run.folder.split('/', 1)[1] for run in runs.wanted(finished.protocol)]
    # Two levels, three branches with two copies each, and the dense network on its own data order and on another one.
    assert len(names) == len(set(names)) == 2 * (len(STAYING) + 3) + 2
    for run in runs.wanted(finished.protocol):
        assert sorted(storage.list_folder(finished.path(run))) == [
            *(['connectivity.json'] if BRANCHES[run.branch].reorders else []), 'mask.npz', 'metrics.csv', 'result.json',
            'timing.json', 'weights.npz']


def test_progress_is_told_run_by_run_and_then_line_by_line(finished):
    wanted = runs.wanted(finished.protocol)
    assert list(dict.fromkeys(run for run, step in finished.told if isinstance(step, int))) == [
        run for run in wanted if BRANCHES[run.branch].step != NEVER]
    # Blocks of ten steps.
    for run, first in ((runs.Run(0, 0, 'ticket'), 10), (runs.Run(0, 1, 'ticket'), REWIND + 10)):
        assert [step for one, step in finished.told if one == run] == list(range(first, STEPS + 1, 10))
    lines = [run for run in wanted if BRANCHES[run.branch].reorders]
    assert finished.told[-len(lines):] == [(run, f'line to {run.branch}') for run in lines]


def ticket(done, branch, level=2, copy=0):
    return At(done, runs.Run(0, level, branch, copy)).ticket()


def weights_equal(left, right):
    return set(left) == set(right) and all(np.array_equal(left[name], right[name]) for name in left)


def rewound(done):
    return storage.read_arrays(storage.join(done.workdir, 'replicate_0', 'rewind', 'rewound.npz'))


def initial(done):
    return storage.read_arrays(storage.join(done.workdir, 'replicate_0', 'rewind', 'initial.npz'))


def test_the_winning_ticket_is_the_pruned_network_rewound(finished):
    """The definition, spelled out once more with sorting: 20 % of the lowest survivors go, 10 % in the output layer."""
    dense = finished.weights(runs.Run(0, 0, 'ticket'))
    first = ticket(finished, 'ticket', level=1)
    for name, (size, kept) in {'fc1/kernel': (19200, 15360), 'fc2/kernel': (30000, 24000),
                               'output/kernel': (1000, 900)}.items():
        order = np.argsort(-np.abs(dense[name].ravel()), kind='stable')
        expected = np.zeros(size, bool)
        expected[order[:kept]] = True
        assert np.array_equal(first.mask[name].ravel(), expected)
    assert first.step == REWIND
    assert weights_equal(first.weights, rewound(finished))
    assert not weights_equal(rewound(finished), initial(finished))
    second = ticket(finished, 'ticket', level=2)
    assert second.mask.is_subset_of(first.mask)
    assert second.mask == finished.mask(runs.Run(0, 2, 'ticket'))


# Those that are pruned before training have the level's number of weights wherever they rank highest.
ANYWHERE = [branch for branch, row in BRANCHES.items() if row.criterion and branch != 'initial_magnitude']


# A supermask keeps what its probabilities say; a random distribution of its own are those of Erdos and Renyi.
@pytest.mark.parametrize('branch', [branch for branch in STAYING if not branch.startswith('supermask')])
def test_every_branch_has_the_density_of_the_level_in_every_layer(finished, branch):
    own, winner = finished.mask(runs.Run(0, 2, branch)), ticket(finished, 'ticket').mask
    expected = {name: int(kept.sum()) for name, kept in winner.items()}
    assert own.kept == sum(expected.values())
    elsewhere = branch in ANYWHERE or branch in ('static', 'random_global')
    assert ({name: int(kept.sum()) for name, kept in own.items()} == expected) is not elsewhere


@pytest.mark.parametrize('branch', LEARNED)
def test_a_learned_mask_leaves_the_weights(finished, branch):
    start, run = ticket(finished, branch), runs.Run(0, 2, branch)
    assert start.mask.kept == start.mask.size and start.step == 0
    mask, ended = finished.mask(run), finished.weights(run)
    result = storage.read_json(finished.path(run, 'result.json'))
    assert result['density'] == mask.density < 1
    assert result['layers'] == {name: float(kept.mean()) for name, kept in mask.items()}
    for name, value in ended.items():
        kept = mask.get(name, np.array(True))
        factor = kept.size / max(kept.sum(), 1) if BRANCHES[branch].rescales and name in mask else 1
        assert value == pytest.approx(np.where(kept, start.weights[name] * factor, 0), rel=1e-5), name


@pytest.mark.parametrize('branch', ['supermask', 'edge_popup'])
def test_what_a_learned_mask_found_is_trained_on(finished, branch):
    source = runs.Run(0, 2, branch)
    own = ticket(finished, f'{branch}_trained')
    assert own.mask == finished.mask(source) and own.step == 0
    assert weights_equal(own.weights, finished.weights(source))
    assert finished.mask(runs.Run(0, 2, f'{branch}_trained')) == own.mask


def test_signed_constants_have_the_signs_of_w_0(finished):
    before = initial(finished)['fc1/kernel']
    for branch, size in (('supermask_constant', before.std()), ('edge_popup', (2 / 64)**0.5)):
        weights = ticket(finished, branch).weights
        assert weights['fc1/kernel'] == pytest.approx(np.where(before < 0, -size, size), rel=1e-6)
        assert np.array_equal(weights['fc1/bias'], initial(finished)['fc1/bias'])
    assert ticket(finished, 'edge_popup_normal').weights['fc1/kernel'].std() == pytest.approx((2 / 64)**0.5, rel=0.03)


@pytest.mark.parametrize(('branch', 'mask_of_ticket', 'weights', 'step'), [
    ('random_reinit', True, 'new', 0),
    ('random_mask', False, 'rewound', REWIND),
    ('ticket_reordered', True, 'rewound', REWIND),
    ('random_mask_reordered', False, 'rewound', REWIND),
    ('random_sparse', False, 'new', 0),
    ('one_shot', False, 'rewound', REWIND),
    ('one_shot_reinit', False, 'new', 0),
    ('fine_tuning', False, 'trained', STEPS),
    ('lr_rewinding', False, 'trained', REWIND),
    ('continued_training', False, 'rewound', REWIND),
    ('resampled', True, 'made of W_k', REWIND),
    ('resampled_signs', True, 'made of W_k', REWIND),
    ('initial_magnitude', False, 'rewound', REWIND),
    ('noise_0.5', True, 'made of W_k', REWIND),
    ('noise_1', True, 'made of W_k', REWIND),
    ('noise_2', True, 'made of W_k', REWIND),
    ('noise_3', True, 'made of W_k', REWIND),
    *((branch, False, 'new' if branch.endswith('_reinit') else 'initial', 0) for branch in ANYWHERE),
    ('random_reinit_signs', True, 'new', 0),
    ('reshuffled', True, 'made of W_k', REWIND),
    ('reshuffled_signs', True, 'made of W_k', REWIND),
    ('constant', True, 'constants', 0),
    ('constant_signs', True, 'constants', 0),
    ('frozen', False, 'rewound', REWIND),
    ('frozen_by_direction', False, 'rewound', REWIND),
    ('untrained', True, 'initial', 0),
    ('untrained_constant', True, 'constants', 0),
])
def test_a_branch_starts_where_it_should(finished, branch, mask_of_ticket, weights, step):
    own, winner = ticket(finished, branch), ticket(finished, 'ticket')
    assert (own.mask == winner.mask) is mask_of_ticket
    assert own.step == step
    assert weights_equal(own.weights, rewound(finished)) is (weights == 'rewound')
    assert weights_equal(own.weights, initial(finished)) is (weights == 'initial')
    if weights == 'trained':
        assert weights_equal(own.weights, finished.weights(runs.Run(0, 1, branch)))
    if weights == 'new':
        # Of the distribution of the old ones: Gaussian Glorot.
        assert own.weights['fc2/kernel'].std() == pytest.approx(np.sqrt(2 / 400), rel=0.05)
    if weights == 'constants':
        deviation = initial(finished)['fc2/kernel'].std()
        assert np.array_equal(np.abs(own.weights['fc2/kernel']), np.full((300, 100), deviation, np.float32))
        assert np.array_equal(own.weights['fc1/bias'], initial(finished)['fc1/bias'])
    if weights == 'made of W_k':
        assert np.array_equal(own.weights['fc1/bias'], rewound(finished)['fc1/bias'])
        assert not np.array_equal(own.weights['fc1/kernel'], ticket(finished, branch, level=1).weights['fc1/kernel'])
        assert not np.any(own.start['fc1/kernel'][~winner.mask['fc1/kernel']])


def test_copies_and_levels_draw_different_weights_and_repeat_their_own(finished):
    drawn = [ticket(finished, 'random_reinit', level, copy).weights for level in (1, 2) for copy in (0, 1)]
    assert len({weights['fc1/kernel'].tobytes() for weights in drawn}) == 4
    assert weights_equal(ticket(finished, 'random_reinit', 2, 1).weights, drawn[3])


@pytest.mark.parametrize('branch', STAYING)
def test_what_a_branch_draws_at_random_it_draws_with_the_seed_of_the_run(finished, branch, monkeypatch):
    before = ticket(finished, branch)
    monkeypatch.setattr(At, 'seed', 5)
    after = ticket(finished, branch)
    draws = branch in ('random_reinit', 'random_mask', 'random_mask_reordered', 'random_sparse', 'one_shot_reinit',
                       'resampled', 'resampled_signs', 'noise_0.5', 'noise_1', 'noise_2', 'noise_3', 'static',
                       'edge_popup_normal', 'random_global',
                       'random_reinit_signs', 'reshuffled', 'reshuffled_signs', 'constant',
                       *(each for each in ANYWHERE if '_' in each))
    assert (before.mask == after.mask and weights_equal(before.weights, after.weights)) is not draws
    # A shuffled mask and new weights are each drawn.
    assert (before.mask == after.mask) is not (
        branch in ('random_mask', 'random_mask_reordered', 'random_sparse', 'static',
                                                  'random_global') or branch.endswith('_shuffled'))


CHANGES = {'sparse.update_every': '20it', 'sparse.until': 0.7}


def test_masks_that_change_come_to_the_weights_of_the_level(tmp_path, finished):
    done = experiment(tmp_path, CHANGING, **CHANGES)
    done.run()
    kept = ticket(finished, 'ticket').mask.kept
    for branch in CHANGING:
        run = runs.Run(0, 2, branch)
        start, mask = ticket(done, branch), done.mask(run)
        result = storage.read_json(done.path(run, 'result.json'))
        assert mask.kept == result['kept'] == kept and start.step == 0
        assert weights_equal(start.weights, initial(done))
        assert result['layers'] == {name: float(array.mean()) for name, array in mask.items()}
        for name, weights in done.weights(run).items():
            if name in mask:
                assert not weights[~mask[name]].any()
        if branch == 'gradual':
            assert start.mask.kept == start.mask.size
            assert {name: int(array.sum()) for name, array in mask.items()} == {
                name: int(array.sum()) for name, array in ticket(finished, 'ticket').mask.items()}
            # While it is dense it is no sparse network: pruned after 20 and 40 steps, it stops at 60.
            assert result['early_stop_step'] == 60
        else:
            assert start.mask.kept == kept and start.mask != mask
            assert {name: int(array.sum()) for name, array in start.mask.items()} == {
                name: int(array.sum()) for name, array in mask.items()}


@pytest.mark.parametrize('when', [1, 3])
def test_a_run_whose_mask_changes_goes_on_to_the_same_bits(tmp_path, when):
    whole = experiment(tmp_path / 'whole', ('rigl',), 1, **CHANGES)
    whole.run()
    with pytest.raises(Interrupted):
        experiment(tmp_path / 'stopped', ('rigl',), 1, stop=stop_after(6 + when), **CHANGES).run()
    resumed = experiment(tmp_path / 'stopped', ('rigl',), 1, **CHANGES)
    resumed.run()
    for run in runs.wanted(resumed.protocol):
        for name in ('weights.npz', 'mask.npz', 'metrics.csv', 'result.json'):
            assert storage.read_bytes(resumed.path(run, name)) == storage.read_bytes(whole.path(run, name))


SCHEDULES = """
from tensorflow_model_optimization.sparsity.keras import ConstantSparsity


def constant(sparsity, steps):
    return ConstantSparsity(sparsity, begin_step=11, frequency=steps)
"""


def test_gradual_pruning_follows_any_schedule(tmp_path, finished):
    path = tmp_path / 'schedules.py'
    path.write_text(SCHEDULES)
    done = experiment(tmp_path / 'run', ('gradual',), 1, **{'sparse.schedule': f'{path}:constant'})
    done.run()
    run = runs.Run(0, 1, 'gradual')
    assert done.mask(run).kept == ticket(finished, 'ticket', level=1).mask.kept
    assert done.updates.of(run, 0).steps == (10,)


def test_gradual_pruning_that_empties_a_layer_is_an_outcome(tmp_path, monkeypatch):
    def emptied(update, step, *others):
        raise EmptiedError(f'no weight in fc1/kernel at step {step}.')

    monkeypatch.setattr(updates.Gradual, '__call__', emptied)
    done = experiment(tmp_path, ('gradual',), 1, **CHANGES)
    done.run()
    run = runs.Run(0, 1, 'gradual')
    result = storage.read_json(done.path(run, 'result.json'))
    assert (result['outcome'], result['reason']) == (runs.EMPTIED, 'no weight in fc1/kernel at step 0.')
    assert done.pending() == [] and storage.list_folder(done.path(run)) == ['result.json']


@pytest.mark.parametrize('branch', ['random_reinit_signs', 'constant_signs', 'untrained_constant'])
def test_signs_are_those_of_w_0(finished, branch):
    own, start = ticket(finished, branch).weights, initial(finished)
    for name in finished.protocol.shapes:
        assert np.array_equal(np.sign(own[name]), np.sign(start[name]))
        assert not np.array_equal(own[name], start[name])


@pytest.mark.parametrize('branch', ['reshuffled', 'reshuffled_signs'])
def test_reshuffled_weights_are_the_survivors_at_the_rewinding_step(finished, branch):
    own, source = ticket(finished, branch), rewound(finished)
    for name, kept in own.mask.items():
        assert np.array_equal(np.sort(own.weights[name][kept]), np.sort(source[name][kept]))
        same = np.mean(np.sign(own.weights[name][kept]) == np.sign(source[name][kept]))
        assert same == 1 if branch == 'reshuffled_signs' else same < 0.7


def test_frozen_weights_are_those_of_w_0_and_stay(finished):
    for level in (1, 2):
        run, own = runs.Run(0, level, 'frozen'), ticket(finished, 'frozen', level)
        trained = finished.weights(run)
        for name, kept in own.mask.items():
            assert np.array_equal(trained[name][~kept], initial(finished)[name][~kept])
            assert np.array_equal(own.start[name][~kept], initial(finished)[name][~kept])
            assert np.array_equal(own.start[name][kept], rewound(finished)[name][kept])
    first = ticket(finished, 'frozen', level=1)
    assert own.mask.is_subset_of(first.mask) and first.mask == ticket(finished, 'ticket', level=1).mask
    # Its own network of the level before is pruned: what is left of it, and not the larger of the frozen weights.
    before = finished.weights(runs.Run(0, 1, 'frozen'))
    magnitudes = np.where(first.mask['fc2/kernel'], np.abs(before['fc2/kernel']), -1).ravel()
    assert np.array_equal(np.sort(np.argsort(-magnitudes, kind='stable')[:19200]),
                          np.flatnonzero(own.mask['fc2/kernel']))


def test_weights_frozen_by_direction_are_zero_where_they_shrank(finished):
    start, dense = initial(finished), finished.weights(runs.Run(0, 0, 'ticket'))
    first, second = (ticket(finished, 'frozen_by_direction', level) for level in (1, 2))
    between = finished.weights(runs.Run(0, 1, 'frozen_by_direction'))
    for name, kept in first.mask.items():
        shrank = np.abs(dense[name]) < np.abs(start[name])
        assert 0 < shrank[~kept].mean() < 1
        assert np.array_equal(first.start[name][~kept], np.where(shrank, 0, start[name])[~kept])
        # Those that were pruned at level 1 keep what they had; those that are pruned now go by the last training.
        now = kept & ~second.mask[name]
        assert np.array_equal(second.start[name][~kept], first.start[name][~kept])
        shrank = np.abs(between[name]) < np.abs(start[name])
        assert np.array_equal(second.start[name][now], np.where(shrank, 0, start[name])[now])


def test_frozen_weights_count_in_the_derivatives_that_later_levels_are_ranked_by(tmp_path, monkeypatch):
    read = []
    gradient = Derivatives.gradient
    monkeypatch.setattr(Derivatives, 'gradient', lambda self, weights: read.append(weights) or gradient(self, weights))
    done = experiment(tmp_path, ('frozen',), 2, **{'pruning.criterion': 'taylor', 'training.length': '30it'})
    done.run()
    assert weights_equal(read[-1], done.weights(runs.Run(0, 1, 'frozen')))
    assert all(np.count_nonzero(read[-1][name]) == np.prod(shape) for name, shape in done.protocol.shapes.items())


@pytest.mark.parametrize('branch', ['untrained', 'untrained_constant'])
def test_what_is_never_trained_is_evaluated_as_it_starts(finished, branch):
    run, own = runs.Run(0, 2, branch), ticket(finished, branch)
    assert weights_equal(finished.weights(run), own.start)
    result = storage.read_json(finished.path(run, 'result.json'))
    assert [result[name] for name in ('start_step', 'end_step', 'early_stop_step', 'outcome')] == [0, 0, 0, 'finished']
    (row,) = from_csv(storage.read_text(finished.path(run, 'metrics.csv')))
    assert (row['step'], row['test_accuracy']) == (0, result['final_test_accuracy'])
    assert storage.read_json(finished.path(run, 'timing.json'))['steps'] == 0


def test_one_shot_prunes_the_dense_network_once(finished):
    dense = finished.weights(runs.Run(0, 0, 'ticket'))
    mask = ticket(finished, 'one_shot').mask['fc2/kernel'].ravel()
    assert np.array_equal(np.sort(np.argsort(-np.abs(dense['fc2/kernel'].ravel()))[:19200]), np.flatnonzero(mask))


def test_initial_magnitude_prunes_the_network_before_training(finished):
    magnitudes = np.abs(initial(finished)['output/kernel'].ravel())
    mask = ticket(finished, 'initial_magnitude').mask['output/kernel'].ravel()
    assert np.array_equal(np.sort(np.argsort(-magnitudes)[:810]), np.flatnonzero(mask))


@pytest.mark.parametrize('branch', ['resampled', 'resampled_signs'])
def test_resampled_weights_are_survivors_at_the_rewinding_step(finished, branch):
    own, source = ticket(finished, branch), rewound(finished)
    for name, kept in own.mask.items():
        assert np.isin(own.weights[name][kept], source[name][kept]).all()
        same = np.mean(np.sign(own.weights[name][kept]) == np.sign(source[name][kept]))
        assert same == 1 if branch == 'resampled_signs' else same < 0.7


@pytest.mark.parametrize('scale', [0.5, 1, 2, 3])
def test_noise_is_on_the_weights_of_the_rewinding_step(finished, scale):
    noise = ticket(finished, f'noise_{scale}').weights['fc2/kernel'] - rewound(finished)['fc2/kernel']
    assert noise.std() == pytest.approx(scale * initial(finished)['fc2/kernel'].std(), rel=0.03)
    # Of the deviation in W_0, not in W_k, which are close.
    own = At(finished, runs.Run(0, 2, f'noise_{scale}'))
    assert weights_equal(own.ticket().weights, noisy(
        rewound(finished), initial(finished), list(finished.protocol.shapes), scale, own.seed))


def test_continued_training_takes_the_masks_of_the_network_that_went_on(finished):
    assert ticket(finished, 'continued_training').mask == ticket(finished, 'fine_tuning').mask


def test_results_say_what_was_trained(finished):
    run = runs.Run(0, 2, 'fine_tuning')
    result = storage.read_json(finished.path(run, 'result.json'))
    assert (result['start_step'], result['end_step']) == (STEPS, 2 * STEPS - REWIND)
    assert result['rewind_step'] == REWIND
    assert result['size'] == 50200 and result['kept'] == 12288 + 19200 + 810
    assert result['density'] == pytest.approx(result['kept'] / 50200)
    assert result['diverged'] is False
    assert result['layers']['output/kernel'] == pytest.approx(0.81)
    assert storage.read_json(finished.path(run, 'timing.json'))['steps'] == STEPS - REWIND
    rows = storage.read_text(finished.path(runs.Run(0, 2, 'ticket'), 'metrics.csv')).splitlines()
    assert [row.split(',')[0] for row in rows] == ['step', '40', '60']


def test_results_name_their_run(finished):
    for run in runs.wanted(finished.protocol):
        result = storage.read_json(finished.path(run, 'result.json'))
        assert [result[name] for name in ('replicate', 'level', 'branch', 'copy')] == [
            run.replicate, run.level, run.branch, run.copy]


def test_early_stop_and_end_are_rows_of_their_own(tmp_path):
    # At this rate the validation loss is lowest before the end.
    done = experiment(tmp_path, ('ticket',), 0, **{'training.learning_rate': 0.03, 'training.evaluate_every': '5it'})
    done.run()
    dense = runs.Run(0, 0, 'ticket')
    result = storage.read_json(done.path(dense, 'result.json'))
    rows = from_csv(storage.read_text(done.path(dense, 'metrics.csv')))
    best = min(rows, key=lambda row: row['validation_loss'])
    assert best != rows[-1]
    for where, row in (('early_stop', best), ('final', rows[-1])):
        assert {name: result[f'{where}_{name}'] for name in EVALUATED} == {name: row[name] for name in EVALUATED}
    assert result['early_stop_step'] == best['step']
    assert Measures.from_json(result['measures']) == CLASSIFICATION


def test_pruned_weights_end_at_exactly_zero(finished):
    for run in runs.wanted(finished.protocol):
        mask, arrays = finished.mask(run), finished.weights(run)
        assert all(not np.any(arrays[name][~mask[name]]) for name in mask) is (BRANCHES[run.branch].frozen is None)


def test_the_trainer_is_set_up_as_the_config_says(tmp_path, finished):
    changed = {'optimizer': 'rmsprop', 'momentum': 0.5, 'rho': 0.8, 'epsilon': 0.25, 'weight_decay': 0.125,
               'batch_size': 60, 'block': 7}
    options = {'milestones': ('10it', '2ep'), 'drop': 0.5}
    own = experiment(tmp_path, ('ticket',), 0, **{
        'training.schedule': 'steps', 'training.warmup': '1ep',
        **{f'training.{key}': value for key, value in {**changed, **options}.items()}}).trainer.settings
    assert {key: getattr(own, key) for key in changed} == changed
    assert (own.evaluate_every, own.checkpoint_every, own.jit) == (20, 20, False)
    # An epoch has 18 steps of 60 examples.
    assert own.learning_rate.get_config() == {
        'schedule': 'steps', 'learning_rate': 1.2e-3, 'end_step': STEPS, 'milestones': [10, 36], 'drop': 0.5,
        'final_learning_rate': 0.0, 'warmup_steps': 18}
    assert finished.trainer.settings.learning_rate == 1.2e-3


def test_a_schedule_ends_at_the_rate_that_the_config_says(tmp_path):
    own = experiment(tmp_path, ('ticket',), 0, **{
        'training.schedule': 'cosine', 'training.learning_rate': 0.5, 'training.final_learning_rate': 0.25,
        'training.batch_size': 30, 'training.scale_from': 60}).trainer.settings.learning_rate.get_config()
    assert (own['learning_rate'], own['final_learning_rate']) == (0.25, 0.125)


def test_networks_have_the_precision_of_the_config(tmp_path, finished):
    own = experiment(tmp_path, ('ticket',), 0, **{'training.precision': 'mixed_bfloat16'})
    mixed, single = {'bfloat16', 'float32'}, {'float32'}
    for network, precisions in (
            (own.trainer.network, mixed), (own.protocol.task.network(0), mixed), (finished.trainer.network, single)):
        assert {layer.compute_dtype for layer in network.layers} == precisions


def test_masks_are_of_the_scope_of_the_config(tmp_path):
    done = experiment(tmp_path, ('ticket',), 1, **{'pruning.scope': 'global', 'pruning.output_fraction': 0.2})
    done.run()
    weights, mask = done.weights(runs.Run(0, 0, 'ticket')), done.mask(runs.Run(0, 0, 'ticket'))
    layerwise, whole = (prune(mask, weights, done.protocol.fractions, 1, scope) for scope in ('layerwise', 'global'))
    assert layerwise != whole
    assert done.mask(runs.Run(0, 1, 'ticket')) == whole


def test_the_three_seeds_of_every_replicate_are_its_own():
    drawn = [number for seed in range(3) for replicate in range(3)
             for number in dataclasses.astuple(replicate_seeds(seed, replicate))]
    assert len(set(drawn)) == 3 * 3 * 3
    assert all(0 <= number < 2**31 for number in drawn)
    # What is added to an experiment that has finished must have the seeds that it had.
    assert replicate_seeds(0, 0) == Seeds(initialisation=1484405855, order=1838574579, augmentation=372825380)
    assert replicate_seeds(3, 2) == Seeds(initialisation=480164916, order=1335948745, augmentation=974038550)


def at(run, seed=3):
    """A place in an experiment of which nothing was trained."""
    return At(types.SimpleNamespace(protocol=protocol(seed=seed)), run)


def test_what_a_run_draws_is_its_own():
    run = runs.Run(2, 1, 'random_reinit', 1)
    others = [dataclasses.replace(run, **change) for change in (
        {'replicate': 0}, {'replicate': 1}, {'level': 2}, {'branch': 'random_sparse'}, {'branch': 'one_shot_reinit'},
        {'copy': 0}, {'copy': 2})]
    drawn = [at(one).seed for one in (run, *others)] + [at(run, seed).seed for seed in (0, 1, 2)]
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= seed < 2**31 for seed in drawn)
    # The same controls at every rewinding step.
    assert at(dataclasses.replace(run, rewind=20)).seed == at(run).seed
    # As in experiments that have finished.
    assert (at(run).seed, at(runs.Run(0, 2, 'random_mask')).seed) == (2115707200, 981291187)


@pytest.mark.parametrize('branch', ['ticket', 'random_mask'])
def test_other_data_orders_are_each_a_replicates_own(branch):
    reordered = f'{branch}_reordered'
    places = [(replicate, copy, seed) for replicate in range(2) for copy in range(2) for seed in (0, 3)]
    seeds = [at(runs.Run(replicate, 1, reordered, copy), seed).seeds for replicate, copy, seed in places]
    seeds += [replicate_seeds(seed, replicate) for replicate in range(2) for seed in (0, 3)]
    numbers = [number for one in seeds for number in (one.order, one.augmentation)]
    assert len(set(numbers)) == len(numbers)
    for (replicate, copy, seed), own in zip(places, seeds, strict=False):
        original = replicate_seeds(seed, replicate)
        assert own.initialisation == original.initialisation
        # What the subnetwork itself was drawn with is not drawn anew.
        run = runs.Run(replicate, 1, reordered, copy)
        assert at(run, seed).seed == at(runs.original(run), seed).seed
        assert at(runs.original(run), seed).seeds == original
    assert at(runs.Run(2, 1, reordered, 1)).seeds == Seeds(
        initialisation=480164916, order=1872255894, augmentation=1018763917)


def test_every_replicate_is_made_of_its_own_networks(tmp_path):
    done = experiment(tmp_path, ('ticket', 'one_shot'), 2, replicates=2, branch_levels=(1,))
    done.run(replicate=1)
    assert done.pending(1) == [] and done.pending() == runs.wanted(done.protocol, 0)
    done.run()
    first, second = (done.weights(runs.Run(replicate, 0, 'ticket')) for replicate in range(2))
    assert not weights_equal(first, second)
    for replicate in range(2):
        for level, branch, kept in ((1, 'ticket', 900), (1, 'one_shot', 900), (2, 'ticket', 810)):
            run = runs.Run(replicate, level, branch)
            before = done.weights(runs.Run(replicate, level - 1, 'ticket'))['output/kernel']
            assert np.array_equal(np.sort(np.argsort(-np.abs(before.ravel()))[:kept]),
                                  np.flatnonzero(done.mask(run)['output/kernel']))
            assert weights_equal(At(done, run).ticket().weights, done.read(run.rewound_weights))
            assert storage.read_json(done.path(run, 'result.json'))['replicate'] == replicate
        seeds = replicate_seeds(0, replicate)
        assert weights_equal(done.read(run.initial_weights), wrapper.get_weights(
            done.protocol.task.network(seeds.initialisation)))


def test_more_branches_and_levels_train_only_what_is_missing(tmp_path):
    done = experiment(tmp_path, ('ticket',), 1)
    done.run()
    more = experiment(tmp_path, ('ticket', 'random_mask'), 2)
    assert [run.folder for run in more.pending()] == [
        'replicate_0/level_01/random_mask', 'replicate_0/level_02/ticket', 'replicate_0/level_02/random_mask']


def test_another_file_system_holds_the_same_results(tmp_path):
    arguments = (('ticket', 'random_reinit'), 1)
    local, remote = experiment(tmp_path, *arguments), experiment('ram://experiment/run', *arguments)
    local.run()
    remote.run()
    for run in runs.wanted(local.protocol):
        for name in ('mask.npz', 'metrics.csv', 'result.json', 'weights.npz'):
            assert storage.read_bytes(local.path(run, name)) == storage.read_bytes(remote.path(run, name))


def test_a_file_system_that_lists_late_holds_the_same_results_each_trained_once(files, finished):
    files.late = True
    with pytest.raises(Interrupted):
        experiment('gs://bucket/run', ('ticket',), 1, stop=stop_after(8)).run()
    resumed = experiment('gs://bucket/run', ('ticket',), 1)
    resumed.run()
    assert storage.list_folder('gs://bucket/run') == []
    for run in runs.wanted(resumed.protocol):
        assert files.writes[resumed.path(run, 'result.json')] == 1
        for name in ('weights.npz', 'mask.npz', 'metrics.csv', 'result.json'):
            assert storage.read_bytes(resumed.path(run, name)) == storage.read_bytes(finished.path(run, name))
    assert not [path for path in files.content if 'checkpoint' in path or path.endswith('.tmp')]
    assert files.writes[resumed.path(runs.Run(0, 1, 'ticket'), 'checkpoint_a.npz')]


def test_a_file_system_that_fails_in_the_middle_loses_nothing(files, finished):
    first = experiment('gs://bucket/run', ('ticket',), 1)

    def before(operation, path):
        if path == first.path(runs.Run(0, 1, 'ticket'), 'mask.npz'):
            fail()(operation, path)

    files.before = before
    with pytest.raises(StorageError, match=r'^cannot write gs://bucket/run/.*/mask\.npz: Error executing an HTTP'):
        first.run()
    files.before = lambda operation, path: None
    resumed = experiment('gs://bucket/run', ('ticket',), 1)
    assert resumed.pending() == [runs.Run(0, 1, 'ticket')]
    resumed.run()
    for run in runs.wanted(resumed.protocol):
        assert storage.read_bytes(resumed.path(run, 'weights.npz')) == storage.read_bytes(
            finished.path(run, 'weights.npz'))


def test_tensorboard_logs_go_where_the_results_go(files, finished):
    rows = [{'step': 20, 'train_loss': 0.5}, {'step': 40, 'train_loss': 0.25}]
    for _ in range(2):
        _write_tensorboard('gs://bucket/run/tensorboard/ticket', rows)
    path, = files.content
    assert path.startswith('gs://bucket/run/tensorboard/ticket/events.out.tfevents.')
    files.before = fail()
    with pytest.raises(StorageError, match='^cannot .* gs://bucket/run/tensorboard/ticket.*: Error executing an HTTP'):
        _write_tensorboard('gs://bucket/run/tensorboard/ticket', rows)


@pytest.mark.parametrize('share', [0, 0.5, 1])
def test_an_experiment_of_thousands_of_runs_asks_a_file_system_a_hundred_times_before_it_trains(
        files, monkeypatch, share):
    def train(*arguments):
        raise Interrupted(15, 'stopped')

    monkeypatch.setattr(locks, '_SETTLE_SECONDS', 0)
    monkeypatch.setattr(Experiment, '_train', train)
    monkeypatch.setattr(At, 'ticket', lambda at: None)
    asked = []
    files.before = lambda *operation: asked.append(operation)
    done = experiment('gs://bucket/run', ('ticket', 'random_mask', 'one_shot'), 100, replicates=10, **{
        'pruning.fraction': 0.02, 'pruning.output_fraction': 0.02})
    wanted = runs.wanted(done.protocol)
    for run in wanted[:round(share * len(wanted))]:
        files.content[done.path(run, 'result.json')] = b'{"diverged": false}'
    with Claims(done.workdir, done.protocol) as claims:
        replicate = claims.take()
        assert (replicate is None) == (share == 1)
        if replicate is not None:
            assert len(claims.ahead()) > 1000
            with pytest.raises(Interrupted):
                done.run(replicate=replicate)
    assert len(wanted) > 3000 and len(asked) <= 100


def test_workers_stop_together_while_lines_are_measured(tmp_path, monkeypatch):
    arguments = {'branches': ('ticket_reordered',), 'levels': 1, 'connectivity.points': 3,
                 'connectivity.examples': 100}
    experiment(tmp_path, **{**arguments, 'connectivity.points': 0}).run()
    told = []

    def any_worker(strategy, flag):
        told.append(flag)
        # The other worker was told at the second place of the first line.
        return len(told) == 2

    measuring = experiment(tmp_path, stop=lambda: None, **arguments)
    monkeypatch.setattr(distribute, 'any_worker', any_worker)
    with pytest.raises(Interrupted, match=r'^Another worker was stopped; everything is saved\. The same command on ev'):
        measuring.run()
    assert told == [False, False]
    assert len(runs.missing_lines(str(tmp_path), measuring.protocol)) == 2


def test_a_loss_that_is_not_finite_ends_its_run_and_not_the_experiment(tmp_path, monkeypatch):
    done = experiment(tmp_path, ('ticket', 'random_reinit'), 2)
    initial_weights = At.new_weights

    def spoilt(at):
        weights = initial_weights(at)
        weights['output/bias'] = np.array([3e38] + [-3e38] * 9, np.float32)
        return weights

    monkeypatch.setattr(At, 'new_weights', spoilt)
    done.run()
    result = storage.read_json(done.path(runs.Run(0, 1, 'random_reinit'), 'result.json'))
    assert result['diverged'] is True and result['early_stop_step'] is None
    assert storage.read_json(done.path(runs.Run(0, 2, 'ticket'), 'result.json'))['diverged'] is False
    assert done.pending() == []


def test_runs_made_from_a_diverged_one_are_left_out(tmp_path, monkeypatch):
    done = experiment(tmp_path, ('ticket', 'random_mask', 'ticket_reordered'), 2, branch_levels=(1, 2), **{
        'training.learning_rate': 1e30})
    warnings = []
    monkeypatch.setattr(logging, 'warning', lambda text, *values: warnings.append(text % values))
    done.run()
    assert storage.read_json(done.path(runs.Run(0, 0, 'ticket'), 'result.json'))['diverged'] is True
    assert warnings[0] == ('replicate_0/level_01/ticket is left out: replicate_0/level_00/ticket ended in a loss that '
                           'is not finite.')
    assert warnings[3] == 'replicate_0/level_02/ticket is left out: replicate_0/level_01/ticket was left out too.'
    assert len(warnings) == 6
    # The experiment has come to its end, lines included.
    assert done.pending() == [] and runs.is_finished(done.workdir, done.protocol, 0)
    run = runs.Run(0, 2, 'ticket')
    left_out = {
        'branch': 'ticket', 'copy': 0, 'level': 2, 'replicate': 0, 'rewind_step': REWIND, 'start_step': REWIND,
        'end_step': STEPS, 'diverged': False, 'outcome': 'left out', 'after': 'replicate_0/level_01/ticket',
        'reason': 'replicate_0/level_01/ticket was left out too.'}
    assert storage.read_json(done.path(run, 'result.json')) == left_out
    # Versions before wrote nothing of what they left out: the same command does, and removes a checkpoint of it.
    storage.remove(done.path(run, 'result.json'))
    Checkpoint(done.path(run)).save(1, [], [])
    assert done.pending() == [run]
    done.run()
    assert storage.list_folder(done.path(run)) == ['result.json']
    assert storage.read_json(done.path(run, 'result.json')) == left_out


def test_a_ranking_that_leaves_a_layer_without_weights_ends_its_chain_and_not_the_experiment(tmp_path):
    done = experiment(tmp_path, ('random_mask', 'ticket', 'one_shot'), 3, branch_levels=(2,), **{
        'pruning.scope': 'global', 'pruning.fraction': 0.96, 'pruning.output_fraction': 0.96,
        'training.learning_rate': 1e-5})
    done.run()
    results = {run.folder.removeprefix('replicate_0/'): storage.read_json(done.path(run, 'result.json'))
               for run in runs.wanted(done.protocol)}
    first, dense = 'replicate_0/level_01/ticket', 'replicate_0/level_00/ticket'
    assert {name: (result['outcome'], result.get('after')) for name, result in results.items()} == {
        'level_00/ticket': ('finished', None), 'level_01/ticket': ('finished', None),
        'level_02/random_mask': ('emptied', first), 'level_02/ticket': ('emptied', first),
        'level_02/one_shot': ('emptied', dense), 'level_03/ticket': ('left out', 'replicate_0/level_02/ticket')}
    assert results['level_02/ticket']['reason'].startswith('level 2 of global pruning leaves no weight in fc')
    assert results['level_03/ticket']['reason'] == 'replicate_0/level_02/ticket would have had a layer without weights.'
    assert runs.is_finished(done.workdir, done.protocol, 0)


def test_what_the_first_worker_sees_of_a_run_counts(tmp_path, monkeypatch):
    """As on a worker to which the shared disk shows the dense network's result in another state."""
    done = experiment(tmp_path, ('ticket',), 1)
    dense, run = runs.Run(0, 0, 'ticket'), runs.Run(0, 1, 'ticket')
    done.run()
    storage.remove(done.path(run, 'result.json'))
    result = storage.read_json(done.path(dense, 'result.json'))

    def execute(*told):
        monkeypatch.setattr(distribute, 'from_chief', lambda strategy, numbers: told)
        done._execute(run, None)
        assert not runs.is_done(str(tmp_path), run)

    done._writes = False
    # Whether the run is done, and whether it is left out.
    for state in ('finished', 'diverged'):
        storage.write_json(done.path(dense, 'result.json'), {**result, 'outcome': state})
        execute(1.0, 0.0)
        execute(0.0, 1.0)
    with pytest.raises(ClusterError, match=f'^the first worker trains {done.path(run)}, another one cannot: '
                                           'replicate_0/level_00/ticket ended in a loss that is not finite. See that '):
        execute(0.0, 0.0)


@pytest.mark.parametrize(('branch', 'name'), [('one_shot', 'rewound'), ('noise_1', 'initial')])
def test_weights_of_the_dense_network_that_are_lost_are_named_with_a_remedy_that_works(tmp_path, branch, name):
    experiment(tmp_path, (branch,), 0).run()
    done = experiment(tmp_path, (branch,), 1)
    path = tmp_path / f'replicate_0/rewind/{name}.npz'
    before, folder = path.read_bytes(), tmp_path / 'replicate_0/level_00/ticket'
    for spoil, what in ((path.unlink, 'lost'), (lambda: path.write_bytes(before[:-9]), 'corrupt')):
        spoil()
        with pytest.raises(StorageError, match=f'^{path} is {what}.*: delete {folder} and run the same command again'):
            done.run()
    shutil.rmtree(folder)
    done.run()
    assert done.pending() == [] and path.read_bytes() == before
    assert storage.read_json(done.path(runs.Run(0, 1, branch), 'result.json'))['outcome'] == 'finished'


def test_weights_that_are_lost_are_named_with_the_remedy(tmp_path, finished):
    experiment(tmp_path, ('ticket',), 1).run()
    done = experiment(tmp_path, ('ticket',), 2)
    run = runs.Run(0, 1, 'ticket')
    for name in ('mask.npz', 'weights.npz'):
        storage.remove(done.path(run, name))
        with pytest.raises(MissingFileError, match=f'/{name} is lost: delete {done.path(run)} and run the same '):
            done.run()
        storage.remove(done.path(run))
        done.run()
        storage.remove(done.path(runs.Run(0, 2, 'ticket')))
    assert storage.read_bytes(done.path(run, 'weights.npz')) == storage.read_bytes(finished.path(run, 'weights.npz'))


def test_a_dense_network_that_diverged_after_step_k_is_not_taken_for_one_that_did_before(tmp_path):
    done = experiment(tmp_path, ('initial_magnitude',), 1, **{'training.learning_rate': 1e30})
    done.run()
    run, dense = runs.Run(0, 1, 'initial_magnitude'), runs.Run(0, 0, 'ticket')
    assert from_csv(storage.read_text(done.path(dense, 'metrics.csv')))[-1]['step'] < REWIND
    assert storage.read_json(done.path(run, 'result.json'))['after'] == dense.folder
    # Of what diverged later the file was there.
    storage.write_text(done.path(dense, 'metrics.csv'), f'step,train_loss\n{REWIND},nan\n')
    storage.remove(done.path(run, 'result.json'))
    with pytest.raises(MissingFileError, match='rewound.npz is lost: delete '):
        done.run()


def test_a_run_does_not_go_on_from_the_checkpoint_of_another_ticket(tmp_path, finished, monkeypatch):
    run = runs.Run(0, 1, 'ticket')
    with pytest.raises(Interrupted):
        experiment(tmp_path, ('ticket',), 2, stop=stop_after(6 + 3)).run()
    # As after the dense network was trained once more on another machine.
    path = tmp_path / runs.Run(0, 0, 'ticket').folder / 'weights.npz'
    arrays = storage.read_arrays(path)
    storage.write_arrays(path, {**arrays, 'fc1/kernel': arrays['fc1/kernel'][::-1]})
    warnings = []
    monkeypatch.setattr(logging, 'warning', lambda text, *values: warnings.append(text % values))
    other = experiment(tmp_path, ('ticket',), 1)
    other.run()
    assert sorted(warning.split(': ')[0] for warning in warnings) == [
        f'{other.path(run, name)} is of another ticket' for name in ('checkpoint_a.npz', 'checkpoint_b.npz')]
    digests = {storage.read_json(done.path(run, 'result.json'))['digest'] for done in (other, finished)}
    assert len(digests) == 2
    assert not weights_equal(other.weights(run), finished.weights(run))


def test_a_digest_is_of_what_is_trained(finished):
    digests = {run.folder: storage.read_json(finished.path(run, 'result.json'))['digest']
               for run in runs.wanted(finished.protocol)}
    # After one round of pruning these are the same ticket.
    same = [digests[f'replicate_0/level_01/{branch}'] for branch in ('ticket', 'one_shot', 'continued_training')]
    assert len(set(same)) == 1
    # What signed constants start from, trained or not, is the same at either level.
    assert len(set(digests.values())) == len(digests) - 4 and set(map(len, digests.values())) == {64}


def test_the_seconds_of_a_run_that_was_stopped_are_counted_together(tmp_path, monkeypatch):
    clock = itertools.count(0, 100)
    monkeypatch.setattr(time, 'perf_counter', lambda: float(next(clock)))
    with pytest.raises(Interrupted):
        experiment(tmp_path, ('ticket',), 0, stop=stop_after(3)).run()
    dense = runs.Run(0, 0, 'ticket')
    path = str(tmp_path / dense.folder)
    saved = max(float(storage.read_arrays(f'{path}/{name}', ['seconds'])['seconds'])
                for name in ('checkpoint_a.npz', 'checkpoint_b.npz'))
    before = next(clock)
    resumed = experiment(tmp_path, ('ticket',), 0)
    resumed.run()
    timing = storage.read_json(resumed.path(dense, 'timing.json'))
    assert timing['steps'] == STEPS
    assert saved < timing['seconds'] <= saved + next(clock) - before


def test_a_dense_network_that_diverges_before_step_k_leaves_nothing_to_rewind_to(tmp_path, monkeypatch):
    done = experiment(tmp_path, ('initial_magnitude',), 1, **{
        'training.learning_rate': 1e30, 'training.evaluate_every': '10it'})
    warnings = []
    monkeypatch.setattr(logging, 'warning', lambda text, *values: warnings.append(text % values))
    done.run()
    assert warnings == ['replicate_0/level_01/initial_magnitude is left out: replicate 0 diverged before its rewinding '
                        'step.']


def test_a_full_disk_harms_nothing_that_was_saved(tmp_path, monkeypatch):
    done = experiment(tmp_path, ('ticket',), 1)
    sync, calls = os.fsync, []

    def full(file):
        calls.append(file)
        if len(calls) > 9:
            raise OSError(errno.ENOSPC, 'No space left on device')
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        with pytest.raises(StorageError, match=r'cannot write .*: the disk is full; free some space'):
            done.run()
    assert not list(tmp_path.glob('**/*.tmp'))
    done.run()
    clean = experiment(str(tmp_path / 'clean'), ('ticket',), 1)
    clean.run()
    for run in runs.wanted(done.protocol):
        assert storage.read_bytes(done.path(run, 'weights.npz')) == storage.read_bytes(clean.path(run, 'weights.npz'))


@pytest.mark.parametrize('when', [1, 2, 3])
def test_a_sparse_level_that_was_stopped_goes_on_to_the_same_bits(tmp_path, finished, when):
    # The dense network takes six blocks of ten steps, the ticket of level 1 four.
    with pytest.raises(Interrupted):
        experiment(tmp_path, ('ticket',), 2, stop=stop_after(6 + when)).run()
    resumed = experiment(tmp_path, ('ticket',), 2)
    resumed.run()
    for run in runs.wanted(resumed.protocol):
        for name in ('weights.npz', 'mask.npz', 'metrics.csv', 'result.json'):
            assert storage.read_bytes(resumed.path(run, name)) == storage.read_bytes(finished.path(run, name))


def test_a_corrupt_checkpoint_is_named_and_its_level_starts_again(tmp_path, finished, monkeypatch):
    with pytest.raises(Interrupted):
        experiment(tmp_path, ('ticket',), 0, stop=stop_after(3)).run()
    checkpoints = sorted(tmp_path.glob('replicate_0/level_00/ticket/checkpoint_*'))
    assert len(checkpoints) == 2
    for path in checkpoints:
        path.write_bytes(path.read_bytes()[:-100])
    warnings = []
    monkeypatch.setattr(logging, 'warning', lambda text, *values: warnings.append(text % values))
    resumed = experiment(tmp_path, ('ticket',), 0)
    resumed.run()
    assert [f'{path} is corrupt' in warning for path, warning in zip(checkpoints, warnings, strict=True)] == [True] * 2
    dense = runs.Run(0, 0, 'ticket')
    assert storage.read_bytes(resumed.path(dense, 'weights.npz')) == storage.read_bytes(
        finished.path(dense, 'weights.npz'))


def test_damaged_weights_are_named_with_the_remedy(tmp_path):
    done = experiment(tmp_path, ('ticket',), 0)
    done.run()
    dense = runs.Run(0, 0, 'ticket')
    path = done.path(dense, 'weights.npz')
    content = bytearray(storage.read_bytes(path))
    content[5000] ^= 1
    storage.write_bytes(path, bytes(content))
    with pytest.raises(CorruptFileError, match=r'weights.npz is corrupt: .* delete .*level_00/ticket and run the same'):
        done.weights(dense)


def test_the_schedules_around_the_layers_are_the_protocols(finished):
    holders = {name: holder for name, (holder, *_) in wrapper.prunable_variables(finished.trainer.network).items()}
    assert {name: holder.pruning_schedule.get_config()['config'] for name, holder in holders.items()} == {
        name: {'fraction': fraction, 'levels': 2, 'steps': STEPS, 'rewind_to': REWIND}
        for name, fraction in (('fc1/kernel', 0.2), ('fc2/kernel', 0.2), ('output/kernel', 0.1))}



@pytest.mark.parametrize('branch', ['ticket', 'random_mask'])
def test_another_data_order_trains_the_same_subnetwork(finished, branch):
    own, other = ticket(finished, branch), ticket(finished, f'{branch}_reordered')
    assert own.mask == other.mask
    assert weights_equal(own.weights, other.weights)
    seeds = [At(finished, runs.Run(0, 2, name, copy)).seeds
             for name, copy in ((branch, 0), (f'{branch}_reordered', 0), (f'{branch}_reordered', 1))]
    assert len({seed.initialisation for seed in seeds}) == 1
    assert len({seed.order for seed in seeds}) == len({seed.augmentation for seed in seeds}) == 3
    assert not weights_equal(finished.weights(runs.Run(0, 2, branch)),
                             finished.weights(runs.Run(0, 2, f'{branch}_reordered')))


def test_the_dense_network_on_another_order_goes_on_from_w_k(finished):
    dense = At(finished, runs.Run(0, 0, 'ticket_reordered')).ticket()
    assert (dense.step, dense.mask.density) == (REWIND, 1.0)
    assert weights_equal(dense.weights, rewound(finished))


def test_lines_end_at_the_errors_of_the_runs(finished):
    run = runs.Run(0, 1, 'ticket_reordered')
    line = storage.read_json(storage.join(finished.path(run), 'connectivity.json'))
    ends = [storage.read_json(storage.join(finished.path(one), 'result.json')) for one in (runs.original(run), run)]
    # LeNet has no batch norm, whose new statistics would change the ends.
    assert [line['test_error'][0], line['test_error'][-1]] == pytest.approx(
        [1 - end['final_test_accuracy'] for end in ends])
    assert len(line['position']) == 30
    assert line['examples'] == finished.protocol.facts.train


def test_lines_are_measured_for_the_replicate_that_is_asked_for_and_until_it_is_told_to_stop(tmp_path):
    what = (('ticket_reordered',), 1)
    changes = {'branch_levels': (1,), 'replicates': 2, 'connectivity.examples': 60}
    experiment(tmp_path, *what, **changes, **{'connectivity.points': 0}).run()
    lines = [str(tmp_path / f'replicate_{replicate}/level_01/ticket_reordered_0/connectivity.json')
             for replicate in range(2)]
    stopped = experiment(tmp_path, *what, stop=lambda: Interrupted(15, 'stopped'), **changes, **{
        'connectivity.points': 2})
    with pytest.raises(Interrupted):
        stopped.run()
    assert [storage.exists(line) for line in lines] == [False, False]
    experiment(tmp_path, *what, **changes, **{'connectivity.points': 2}).run(replicate=1)
    assert [storage.exists(line) for line in lines] == [False, True]


def test_tensorboard_gets_the_rows_of_a_run_once(tmp_path):
    what = protocol(('ticket',), 0)
    runs.claim(str(tmp_path), what, '')
    done = Experiment(str(tmp_path), what, tf.distribute.get_strategy(), jit=False, tensorboard=True)
    dense = runs.Run(0, 0, 'ticket')
    for _ in range(2):
        done.run()
        # As if it had died at the very end: it is trained again.
        storage.remove(done.path(dense, 'result.json'))
    (events,) = (tmp_path / 'tensorboard' / dense.folder).iterdir()
    logged = {(event.step, value.tag): float(tf.make_ndarray(value.tensor))
              for event in tf.compat.v1.train.summary_iterator(str(events)) for value in event.summary.value}
    rows = from_csv(storage.read_text(done.path(dense, 'metrics.csv')))
    assert logged == {(row['step'], name): np.float32(value)
                      for row in rows for name, value in row.items() if name != 'step'}


def test_a_sweep_rewinds_each_level_to_each_step(tmp_path):
    done = experiment(tmp_path, ('ticket', 'ticket_reordered'), 2, branch_levels=(0,), **{
        'pruning.rewind_to': '0it,20it', 'connectivity.points': 0})
    done.run()
    single = experiment(tmp_path / 'single', ('ticket',), 2)
    single.run()
    for step in (0, 20):
        for level in (1, 2):
            run = runs.Run(0, level, 'ticket', rewind=step)
            assert At(done, run).ticket().step == step
            assert storage.read_json(done.path(run, 'result.json'))['rewind_step'] == step
        assert done.mask(run).is_subset_of(done.mask(runs.Run(0, 1, 'ticket', rewind=step)))
    assert weights_equal(At(done, runs.Run(0, 1, 'ticket', rewind=0)).ticket().weights, initial(done))
    # A step of a sweep is the same experiment as that step alone, whatever passed that step on another data order.
    for level in (1, 2):
        assert weights_equal(done.weights(runs.Run(0, level, 'ticket', rewind=20)),
                             single.weights(runs.Run(0, level, 'ticket')))


def ranked(done, level, scores, before):
    """The mask of a level, spelled out with sorting: the highest scores of each layer, of the run that was before."""
    own, expected = At(done, runs.Run(0, level, 'ticket')).ticket().mask, {}
    for name, kept in done.mask(before).items():
        count = round(kept.size * (0.9 if name == 'output/kernel' else 0.8)**level)
        order = np.argsort(-np.where(kept, scores[name], -np.inf).ravel(), kind='stable')
        expected[name] = np.isin(np.arange(kept.size), order[:count]).reshape(kept.shape)
    return own, Mask(expected)


@pytest.mark.parametrize('criterion', ['movement', 'random', 'taylor', 'obd'])
def test_levels_are_ranked_by_the_criterion_on_the_same_examples_each_time(tmp_path, criterion):
    examples = {'pruning.examples': 30} if criterion in ('taylor', 'obd') else {}
    done = experiment(tmp_path, ('ticket', 'random_reinit'), 2, reinits=1, **{
        'pruning.criterion': criterion, 'training.length': '21it', **examples})
    done.run()
    feed, task, start = done.trainer.feed, done.protocol.task, initial(done)
    own = Derivatives(task, feed.drawn(30), 60, tf.distribute.get_strategy())
    draws = At(done, runs.Run(0, 1, 'random_reinit'))._drawn()
    for level in (1, 2):
        before = runs.Run(0, level - 1, 'ticket')
        trained = done.weights(before)
        gradient = own.gradient(trained) if criterion == 'taylor' else {}
        curvature = own.curvature(trained) if criterion == 'obd' else {}
        found, expected = ranked(done, level, {name: {
            'movement': lambda name, weight: np.abs(weight - start[name]),
            'random': lambda name, weight: draws[name],
            'taylor': lambda name, weight: np.abs(weight * gradient[name]),  # noqa: B023
            'obd': lambda name, weight: curvature[name] * weight**2 / 2,  # noqa: B023
        }[criterion](name, trained[name]) for name in draws}, before)
        assert found == expected == done.mask(runs.Run(0, level, 'ticket'))
        assert found.is_subset_of(done.mask(before))
        # What is compared with tickets has the tickets' masks.
        assert done.mask(runs.Run(0, level, 'random_reinit')) == found


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob('replicate_*/**/*'))
            if path.is_file() and path.name != 'timing.json'}


def test_what_is_ranked_by_derivatives_is_resumed_to_the_bit(tmp_path):
    what = ('ticket', 'grasp', 'synflow'), 1
    changes = {'pruning.criterion': 'taylor', 'pruning.examples': 30, 'branch_levels': (1,), 'training.length': '40it'}
    experiment(tmp_path / 'whole', *what, **changes).run()
    for folder in ('level_01/ticket', 'level_01/synflow', None):
        # In the midst of a run that was ranked by derivatives.
        stopped = experiment(tmp_path / 'pieces', *what, **changes, stop=lambda: Interrupted(15, 'stopped') if (
            folder and (tmp_path / 'pieces/replicate_0' / folder).exists()) else None)  # noqa: B023
        with pytest.raises(Interrupted) if folder else contextlib.nullcontext():
            stopped.run()
    assert files(tmp_path / 'pieces') == files(tmp_path / 'whole')


@pytest.mark.parametrize('branch', ['snip', 'grasp', 'synflow'])
def test_before_training_the_highest_scores_of_w_0_stay(finished, branch):
    own, start = At(finished, runs.Run(0, 1, branch)), initial(finished)
    found = Derivatives(finished.protocol.task, finished.trainer.feed.drawn(100), 60, tf.distribute.get_strategy())
    mask = ticket(finished, branch, level=1).mask
    if branch == 'synflow':
        # A round only looks at what those before have left, and what is left does without what is gone.
        scores = {name: np.abs(start[name]) * slope for name, slope in found.synaptic_flow(mask.apply(start)).items()}
        lowest = min(scores[name][kept].min() for name, kept in mask.items())
        assert np.mean(np.concatenate([scores[name][~kept] for name, kept in mask.items()]) <= lowest) > 0.9
        assert own.ticket().mask == mask
        return
    derived = found.gradient(start) if branch == 'snip' else found.flow(start)
    scores = {name: start[name] * each if branch == 'grasp' else np.abs(start[name] * each)
              for name, each in derived.items()}
    flat = np.concatenate([scores[name].ravel() for name in mask])
    order = np.argsort(-flat, kind='stable')
    kept = np.concatenate([array.ravel() for array in mask.values()])
    assert np.array_equal(np.flatnonzero(kept), np.sort(order[:ticket(finished, 'ticket', level=1).mask.kept]))


def test_controls_before_training_have_its_number_of_weights_in_each_layer(finished):
    for method in ('snip', 'grasp', 'synflow'):
        own, moved, new = (ticket(finished, f'{method}{control}') for control in ('', '_shuffled', '_reinit'))
        assert [int(kept.sum()) for kept in moved.mask.values()] == [int(kept.sum()) for kept in own.mask.values()]
        assert moved.mask != own.mask and new.mask == own.mask


def test_a_ranking_before_training_that_empties_a_layer_leaves_the_branch_out(tmp_path, monkeypatch):
    # One layer would have all the weights that stay.
    monkeypatch.setattr(Derivatives, 'gradient', lambda self, weights: {
        name: np.full(array.shape, float(name == 'fc1/kernel')) for name, array in weights.items()})
    done = experiment(tmp_path, ('snip', 'snip_shuffled'), 1, **{
        'training.length': '21it', 'pruning.fraction': 0.7, 'pruning.output_fraction': 0.7})
    done.run()
    for branch in ('snip', 'snip_shuffled'):
        result = storage.read_json(done.path(runs.Run(0, 1, branch), 'result.json'))
        assert (result['outcome'], result['after']) == ('emptied', None)
        assert result['reason'] == ('fc2/kernel has none of the weights that rank highest in the whole network: leave '
                                    'the branch out, or give it fewer levels in branch_levels.')


def test_derivatives_that_a_network_does_not_have_are_asked_for_before_training(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Derivatives, 'require', lambda self, names: asked.append(names))
    experiment(tmp_path / 'all', ('synflow', 'grasp_reinit'), 1, **{'pruning.criterion': 'obd'})
    # One without derivatives does not ask.
    experiment(tmp_path / 'none', ('ticket',), 1, **{'pruning.criterion': 'movement'})
    assert asked == [('curvature', 'synaptic_flow', 'flow')]


def counts_of_groups(name, kept):
    """How many weights stay in each group of a dense layer whose inputs and units its groups divide: an array."""
    inputs, units = kept.shape
    rows, columns = {'channels': (inputs, 1), 'block_4x4': (4, 4), '2:4': (4, 1)}[name]
    return kept.reshape(inputs // rows, rows, units // columns, columns).sum(axis=(1, 3)).ravel()


def structured(folder, structure, branches, levels, length='21it', stop=None):
    return experiment(folder, branches, levels, stop=stop, **{
        'pruning.structure': structure, 'pruning.fraction': 0.5, 'pruning.output_fraction': 0.0,
        'training.length': length, 'branch_levels': (levels,)})


@pytest.mark.parametrize(('structure', 'levels', 'stay', 'kept'), [
    ('channels', 2, {0, 64, 300}, {'fc1/kernel': 75, 'fc2/kernel': 25}),
    ('block_4x4', 2, {0, 16}, {'fc1/kernel': 300, 'fc2/kernel': 469}),
    ('2:4', 1, {2}, {'fc1/kernel': 4800, 'fc2/kernel': 7500})])
def test_what_is_pruned_in_groups_stays_in_groups(tmp_path, structure, levels, stay, kept):
    done = structured(tmp_path, structure, ('ticket', 'random_mask', 'one_shot', 'snip', 'snip_shuffled'), levels)
    done.run()
    masks = {branch: done.mask(runs.Run(0, levels, branch)) for branch in done.protocol.config.branches}
    groups = {branch: {name: counts_of_groups(structure, mask[name]) for name in kept}
              for branch, mask in masks.items()}
    for branch, counts in groups.items():
        assert masks[branch]['output/kernel'].all()
        assert set(np.concatenate(list(counts.values())).tolist()) == stay
        there = {name: int((each > 0).sum()) for name, each in counts.items()}
        if branch.startswith('snip') and structure != '2:4':
            # Wherever they rank highest.
            assert sum(there.values()) == sum(kept.values()) and there != kept
        else:
            assert there == kept
    assert masks['ticket'].is_subset_of(done.mask(runs.Run(0, levels - 1, 'ticket')))
    assert masks['random_mask'] != masks['ticket'] and masks['snip_shuffled'] != masks['snip'] != masks['one_shot']
    if structure == 'channels':
        norms = np.abs(done.weights(runs.Run(0, 0, 'ticket'))['fc2/kernel']).sum(axis=0)
        highest = np.isin(np.arange(100), np.argsort(-norms, kind='stable')[:25])
        assert np.array_equal(masks['one_shot']['fc2/kernel'], np.broadcast_to(highest, (300, 100)))


def test_what_is_pruned_in_groups_is_resumed_to_the_bit(tmp_path):
    what = 'block_4x4', ('ticket', 'random_mask'), 1, '40it'
    structured(tmp_path / 'whole', *what).run()
    with pytest.raises(Interrupted):
        structured(tmp_path / 'pieces', *what, stop=lambda: Interrupted(15, 'stopped') if (
            tmp_path / 'pieces/replicate_0/level_01/ticket/result.json').exists() else None).run()
    structured(tmp_path / 'pieces', *what).run()
    assert files(tmp_path / 'pieces') == files(tmp_path / 'whole')


def test_optimal_brain_damage_predicts_what_deleting_weights_of_the_dense_network_does(tmp_path):
    changes = {'pruning.criterion': 'obd', 'pruning.examples': 30, 'training.length': '30it',
               'pruning.output_fraction': 0.0}
    done = experiment(tmp_path, ('ticket',), 1, **changes)
    done.run()
    dense = runs.Run(0, 0, 'ticket')
    assert [str(path.parent) for path in tmp_path.rglob('deletion.json')] == [done.path(dense)]
    losses = storage.read_json(done.path(dense, 'deletion.json'))
    weights = done.weights(dense)
    assert losses['examples'] == 30 and len(losses['deleted']) == 41
    assert losses['actual'][0] == losses['predicted'][0] == done.derivatives.loss(weights)
    # The output layer is never pruned.
    emptied = {**weights, **{name: np.zeros_like(weights[name]) for name in ('fc1/kernel', 'fc2/kernel')}}
    assert losses['actual'][-1] == losses['by_magnitude'][-1] == done.derivatives.loss(emptied)
    curvature = done.derivatives.curvature(weights)
    assert losses['predicted'][-1] - losses['predicted'][0] == pytest.approx(sum(
        float(np.sum(curvature[name] * weights[name]**2 / 2)) for name in ('fc1/kernel', 'fc2/kernel')), rel=1e-4)
    assert done.pending() == [] and runs.is_finished(done.workdir, done.protocol, 0)
    # What is lost is measured again, to the bit, and can be stopped.
    content = storage.read_bytes(done.path(dense, 'deletion.json'))
    storage.remove(done.path(dense, 'deletion.json'))
    with pytest.raises(Interrupted):
        experiment(tmp_path, ('ticket',), 1, stop=lambda: Interrupted(15, 'stop'), **changes).run()
    assert not storage.exists(done.path(dense, 'deletion.json'))
    done.run()
    assert storage.read_bytes(done.path(dense, 'deletion.json')) == content
