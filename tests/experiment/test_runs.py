"""Which runs an experiment has, in what order, and what a plan says of them; a folder is of one experiment."""

import contextlib
import itertools
import json
import os
import re
import threading
import time
from importlib import metadata

import pytest

from tf_lottery.branches import BRANCHES
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config, plan, runs
from tf_lottery.runtime import locks, storage

# All but those that take from another experiment, which has to be there.
ALONE = tuple(branch for branch, row in BRANCHES.items() if not row.transfers)


def protocol(**changes):
    settings = config.defaults()
    settings.pruning.levels = 3
    settings.replicates = 1
    settings.update_from_flattened_dict(changes)
    return config.check(settings)


def folders(**changes):
    return [run.folder.removeprefix('replicate_0/') for run in runs.wanted(protocol(**changes))]


def test_tickets_of_all_levels():
    assert folders() == ['level_00/ticket', 'level_01/ticket', 'level_02/ticket', 'level_03/ticket']


def test_a_control_brings_the_chain_that_it_is_made_from():
    # The mask of level 3 is pruned from the ticket of level 2; the ticket of level 3 itself is not needed.
    assert folders(branches=('random_mask',), branch_levels=(3,)) == [
        'level_00/ticket', 'level_01/ticket', 'level_02/ticket', 'level_03/random_mask']
    assert folders(branches=('continued_training',), branch_levels=(3,)) == [
        'level_00/ticket', 'level_01/fine_tuning', 'level_02/fine_tuning', 'level_03/continued_training']


def test_a_control_beyond_the_last_level_brings_nothing():
    assert folders(branches=('random_mask',), branch_levels=(7,)) == ['level_00/ticket']


def test_within_a_level_chains_come_first_and_then_the_branches_as_they_were_given():
    assert folders(branches=('random_mask', 'continued_training', 'one_shot', 'ticket'), branch_levels=(2,),
                   **{'pruning.levels': 2}) == [
        'level_00/ticket', 'level_01/fine_tuning', 'level_01/ticket', 'level_02/ticket', 'level_02/random_mask',
        'level_02/continued_training', 'level_02/one_shot']
    assert folders(branches=('random_mask', 'lr_rewinding', 'ticket'), **{'pruning.levels': 1})[1:] == [
        'level_01/lr_rewinding', 'level_01/ticket', 'level_01/random_mask']


def test_where_the_weights_of_a_replicate_lie():
    """As in the folders of experiments that have finished."""
    single, swept = runs.Run(2, 5, 'random_mask'), runs.Run(2, 5, 'random_reinit', 1, 30)
    assert single.folder == 'replicate_2/level_05/random_mask'
    assert swept.folder == 'replicate_2/level_05/random_reinit_rewind_30_1'
    assert single.initial_weights == swept.initial_weights == 'replicate_2/rewind/initial.npz'
    assert single.rewound_weights == 'replicate_2/rewind/rewound.npz'
    assert swept.rewound_weights == 'replicate_2/rewind/rewound_30.npz'
    assert runs.Run(0, 1, 'ticket', rewind=0).rewound_weights == 'replicate_0/rewind/rewound_0.npz'


def test_a_run_is_done_when_its_result_is_there(tmp_path):
    run = runs.Run(0, 1, 'ticket')
    for name in ('mask.npz', 'weights.npz', 'metrics.csv', 'timing.json'):
        storage.write_bytes(storage.join(tmp_path, run.folder, name), b'')
        assert not runs.is_done(str(tmp_path), run)
    storage.write_json(storage.join(tmp_path, run.folder, 'result.json'), {})
    assert runs.is_done(str(tmp_path), run)


@pytest.mark.parametrize(('replicates', 'wish', 'sentence'), [
    (1, 1, '--replicate is 1, but this experiment has replicate 0 only: choose one of these, or give '
           '--config.replicates=2.'),
    (3, 3, '--replicate is 3, but this experiment has replicates 0 to 2: choose one of these, or give '
           '--config.replicates=4.'),
    (2, 7, '--replicate is 7, but this experiment has replicates 0 to 1: choose one of these, or give '
           '--config.replicates=8.')])
def test_a_replicate_that_an_experiment_does_not_have_is_refused(replicates, wish, sentence):
    for known in range(replicates):
        runs.check_replicate(protocol(replicates=replicates), known)
    with pytest.raises(UsageError, match=f'^{re.escape(sentence)}$'):
        runs.check_replicate(protocol(replicates=replicates), wish)
    runs.check_replicate(protocol(replicates=wish + 1), wish)


def test_one_shot_needs_the_dense_network_only():
    assert folders(branches=('one_shot', 'one_shot_reinit'), branch_levels=(2,), reinits=2) == [
        'level_00/ticket', 'level_02/one_shot', 'level_02/one_shot_reinit_0', 'level_02/one_shot_reinit_1']


def test_every_run_comes_after_those_it_is_made_from():
    order = runs.wanted(protocol(branches=tuple(reversed(ALONE)), replicates=2))
    seen = set()
    for run in order:
        chain = BRANCHES[run.branch].chain
        if run.level > 1 and chain:
            assert runs.Run(run.replicate, run.level - 1, chain) in seen
        if run.level:
            assert runs.Run(run.replicate, 0, 'ticket') in seen
        seen.add(run)


def test_a_subnetwork_on_other_data_orders_brings_the_one_it_is_compared_with():
    assert folders(branches=('random_mask_reordered', 'ticket_reordered'), branch_levels=(0, 2), data_orders=2,
                   **{'pruning.levels': 2}) == [
        'level_00/ticket', 'level_00/ticket_reordered_0', 'level_00/ticket_reordered_1', 'level_01/ticket',
        'level_02/ticket', 'level_02/random_mask', 'level_02/random_mask_reordered_0',
        'level_02/random_mask_reordered_1', 'level_02/ticket_reordered_0', 'level_02/ticket_reordered_1']


def test_several_rewinding_steps_share_the_dense_network():
    what = {'pruning.rewind_to': '30it,0it', 'training.length': '100it', 'pruning.levels': 1}
    assert folders(branches=('ticket', 'random_reinit'), **what) == [
        'level_00/ticket', 'level_01/ticket_rewind_0', 'level_01/random_reinit_rewind_0_0',
        'level_01/ticket_rewind_30', 'level_01/random_reinit_rewind_30_0']
    assert [runs.run_steps(protocol(**what), run) for run in runs.wanted(protocol(**what))] == [
        (0, 100), (0, 100), (30, 100)]
    # Another order starts at W_k with the dense network, too.
    dense = runs.Run(0, 0, 'ticket_reordered', 0, 30)
    assert runs.run_steps(protocol(**what), dense) == (30, 100)
    assert runs.original(dense) == runs.Run(0, 0, 'ticket')
    assert runs.original(runs.Run(0, 1, 'ticket_reordered', 3, 30)) == runs.Run(0, 1, 'ticket', 0, 30)


def test_lines_are_missing_until_they_are_measured_as_wished(tmp_path):
    what = protocol(branches=('ticket_reordered',), branch_levels=(1,), **{'pruning.levels': 1})
    (run,) = runs.missing_lines(str(tmp_path), what)
    assert run == runs.Run(0, 1, 'ticket_reordered')
    storage.write_json(storage.join(tmp_path, run.folder, 'connectivity.json'), {
        'position': [0] * 30, 'examples': 10_000})
    assert runs.missing_lines(str(tmp_path), what) == []
    what.config.connectivity.examples = 5_000
    assert runs.missing_lines(str(tmp_path), what) == [run]
    # There are no more than all of them.
    storage.write_json(storage.join(tmp_path, run.folder, 'connectivity.json'), {
        'position': [0] * 30, 'examples': what.facts.train})
    what.config.connectivity.examples = 10 * what.facts.train
    assert runs.missing_lines(str(tmp_path), what) == []
    what.config.connectivity.points = 10
    assert runs.missing_lines(str(tmp_path), what) == [run]
    what.config.connectivity.points = 0
    assert runs.missing_lines(str(tmp_path), what) == []


@pytest.mark.parametrize('end', [0, 1])
@pytest.mark.parametrize('result', [{'diverged': True}, {'diverged': False, 'outcome': 'left out'}])
def test_there_is_no_line_to_or_from_a_run_without_an_end(tmp_path, end, result):
    what = protocol(branches=('ticket_reordered',), branch_levels=(1,), **{'pruning.levels': 1})
    assert runs.missing_lines(str(tmp_path), what)
    for number, run in enumerate(runs.wanted(what)[1:]):
        storage.write_json(storage.join(tmp_path, run.folder, 'result.json'), result if number == end else {})
    assert runs.missing_lines(str(tmp_path), what) == []


def test_what_deleting_weights_does_is_missing_where_optimal_brain_damage_predicts_it(tmp_path):
    what, dense = protocol(replicates=2, **{'pruning.criterion': 'obd'}), runs.Run(1, 0, 'ticket')
    assert runs.missing_deletions(str(tmp_path), what) == [runs.Run(0, 0, 'ticket'), dense]
    assert runs.missing_deletions(str(tmp_path), what, 1) == [dense]
    for run in runs.wanted(what):
        storage.write_json(storage.join(tmp_path, run.folder, 'result.json'), {'diverged': run.replicate == 0})
    # There is none of a network that has diverged.
    assert runs.missing_deletions(str(tmp_path), what) == [dense]
    assert [runs.is_finished(str(tmp_path), what, replicate) for replicate in range(2)] == [True, False]
    storage.write_json(storage.join(tmp_path, dense.folder, 'deletion.json'), {})
    assert runs.missing_deletions(str(tmp_path), what) == []
    assert runs.is_finished(str(tmp_path), what, 1)
    assert runs.missing_deletions('none', protocol(**{'pruning.criterion': 'taylor'})) == []
    # There is nothing to delete.
    assert runs.missing_deletions('none', protocol(**{
        'pruning.criterion': 'obd', 'pruning.dense_fraction': 0.0, 'pruning.output_fraction': 0.0})) == []


def test_levels_beyond_the_last_are_left_out():
    assert folders(branches=('ticket', 'random_mask'), branch_levels=(2, 7))[-2:] == [
        'level_02/random_mask', 'level_03/ticket']


def test_a_replicate_has_its_own_runs_and_lines(tmp_path):
    what = protocol(branches=('ticket_reordered',), branch_levels=(1,), replicates=2, **{'pruning.levels': 1})
    own = runs.wanted(what, 1)
    assert own == [run for run in runs.wanted(what) if run.replicate == 1]
    for run in own:
        assert not runs.is_finished(str(tmp_path), what, 1)
        storage.write_json(storage.join(tmp_path, run.folder, 'result.json'), {})
    assert runs.pending(str(tmp_path), what, 1) == []
    assert runs.pending(str(tmp_path), what) == runs.wanted(what, 0)
    # The line to the copy belongs to the replicate.
    assert not runs.is_finished(str(tmp_path), what, 1)
    storage.write_json(storage.join(tmp_path, own[-1].folder, 'connectivity.json'), {
        'position': [0] * 30, 'examples': 10_000})
    assert runs.is_finished(str(tmp_path), what, 1)
    assert not runs.is_finished(str(tmp_path), what, 0)
    # Lines that are there, of which the level before has gone, are not enough.
    storage.remove(storage.join(tmp_path, own[0].folder, 'result.json'))
    assert not runs.is_finished(str(tmp_path), what, 1)


def test_steps_of_a_run():
    what = protocol(**{'training.length': '100it', 'pruning.rewind_to': '30it'})
    assert runs.run_steps(what, runs.Run(0, 0, 'ticket')) == (0, 100)
    assert runs.run_steps(what, runs.Run(0, 2, 'ticket')) == (30, 100)
    assert runs.run_steps(what, runs.Run(0, 2, 'random_reinit')) == (0, 100)
    assert runs.run_steps(what, runs.Run(0, 2, 'fine_tuning')) == (100, 170)
    assert runs.run_steps(what, runs.Run(0, 2, 'untrained')) == (0, 0)


def test_an_experiment_of_too_many_trainings_is_refused_before_they_are_listed():
    changes = {'pruning.fraction': 1e-6, 'pruning.levels': 10_000, 'reinits': 9, 'branch_levels': (5, 10_000),
               'branches': ('ticket', 'random_reinit'), 'replicates': 9, 'pruning.rewind_to': '0it'}
    what = protocol(**changes)
    assert len(runs.wanted(what)) == 9 * (1 + 10_000 + 2 * 9)
    runs.check_extent(what)
    changes['replicates'] = 10
    with pytest.raises(UsageError, match=r'^this experiment has 100,190 trainings, and a folder is looked through for '
                                         r'100,000 at most: give fewer of pruning.levels, branch_levels, replicates'):
        runs.check_extent(protocol(**changes))
    every = protocol(branches=ALONE, branch_levels=(0, 2), reinits=2, data_orders=3, replicates=2,
                     **{'pruning.rewind_to': '0it,5it'})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, '_MOST', len(runs.wanted(every)))
        runs.check_extent(every)
        patch.setattr(runs, '_MOST', len(runs.wanted(every)) - 1)
        with pytest.raises(UsageError, match=f'has {len(runs.wanted(every))} trainings'):
            runs.check_extent(every)


def test_a_plan_of_many_levels_is_short():
    text = plan.describe('none', protocol(**{'pruning.fraction': 1e-3, 'pruning.levels': 1000}), None, 100)
    (densities,) = re.findall(r'\ndensities   (.*) %, of each 21 levels the first\n', text)
    shown = densities.split()
    assert (len(shown), shown[:3], shown[-1]) == (48, ['100.0', '97.9', '95.9'], '37.3')
    assert max(map(len, text.splitlines())) < 350


def test_epochs_are_of_whole_batches():
    what = protocol(**{'training.length': '2ep', 'pruning.rewind_to': '1ep'})
    assert (what.end_step, what.rewind_steps, what.facts.train) == (1832, (916,), 55_000)


def test_a_plan_counts_what_is_done_and_takes_the_time_from_it(tmp_path):
    what = protocol(branches=('ticket', 'random_mask'), **{'training.length': '1000it'})
    for run in runs.wanted(what)[:2]:
        storage.write_json(storage.join(tmp_path, run.folder, 'result.json'), {})
        storage.write_json(storage.join(tmp_path, run.folder, 'timing.json'), {'seconds': 50.0, 'steps': 1000})
    text = plan.describe(str(tmp_path), what)
    assert re.search(r'\nWinning ticket +0-3 +4 +2 +2\n', text)
    assert re.search(r'\nRandom mask +1-3 +3 +0 +3\n', text)
    assert 'densities   100.0 80.0 64.0 51.2 %' in text
    assert 'to train    5,000 steps, 300,000 examples' in text
    # 19 seconds for start, report and export, 0.1 for each run, and 50 ms for each of 5,000 steps: 269.5 in all.
    assert ('time        about 2 min to 9 min, with start, report and export, by how busy the machine is (from 2 of '
            'the trainings that are done)') in text
    # One that was left out took no time.
    for name in ('result.json', 'timing.json'):
        storage.remove(storage.join(tmp_path, runs.wanted(what)[1].folder, name))
    storage.write_json(storage.join(tmp_path, runs.wanted(what)[1].folder, 'result.json'), {'outcome': 'left out'})
    assert '(from 1 of the trainings that are done)' in plan.describe(str(tmp_path), what)


def test_a_plan_takes_no_time_from_what_was_only_evaluated(tmp_path):
    what = protocol(branches=('ticket', 'untrained'), branch_levels=(1,), **{'training.length': '1000it'})
    for run, steps in ((runs.Run(0, 0, 'ticket'), 1000), (runs.Run(0, 1, 'untrained'), 0)):
        storage.write_json(storage.join(tmp_path, run.folder, 'result.json'), {})
        storage.write_json(storage.join(tmp_path, run.folder, 'timing.json'), {'seconds': 50.0, 'steps': steps})
    text = plan.describe(str(tmp_path), what)
    assert '(from 1 of the trainings that are done)' in text
    # The tickets of three levels.
    assert 'to train    3,000 steps' in text


def test_a_plan_counts_frozen_weights_as_kept_on_the_disk():
    # Two tickets, of all weights and of 80 %; the frozen one is stored whole, and has its mask, its files and its rows.
    own, both = (re.search(r'about (\S+) MB when', plan.describe('none', protocol(
        branches=branches, **{'pruning.levels': 1, 'training.length': '100it'}), None, 100))[1]
        for branches in (('ticket',), ('ticket', 'frozen')))
    assert float(both) - float(own) == pytest.approx((266_200 * (4 + 1 / 8) + 4110) / 1e6, abs=0.1)


def test_of_many_trainings_some_say_how_long_one_takes(tmp_path, monkeypatch):
    what = protocol(**{'pruning.fraction': 0.02, 'pruning.levels': 150})
    for run in runs.wanted(what):
        storage.write_json(storage.join(tmp_path, run.folder, 'result.json'), {})
        storage.write_json(storage.join(tmp_path, run.folder, 'timing.json'), {'seconds': 50.0, 'steps': 1000})
    # Every third of 151, so that early and late ones count alike.
    assert '(from 51 of the trainings' in plan.describe(str(tmp_path), what)


def test_a_plan_counts_the_multiplications_at_every_place():
    # LeNet multiplies each weight once; each kernel of ResNet-20 is used at every place of its output.
    assert protocol().multiplications == 266_200
    resnet = protocol(**{'model.name': 'resnet20', 'data.name': 'cifar10'})
    assert resnet.multiplications == 40_813_184
    text = plan.describe('none', protocol(branches=('ticket_reordered',), branch_levels=(1,)))
    assert 'to measure  1 lines between two copies, 30 places each' in text


def test_a_plan_says_what_weights_are_ranked_by_and_what_that_takes():
    assert '\nranked by   magnitude\n' in plan.describe('none', protocol(), None, 100)
    what = protocol(branches=('ticket', 'snip', 'grasp_reinit', 'synflow'), branch_levels=(1,), **{
        'pruning.criterion': 'obd', 'pruning.examples': 120})
    text = plan.describe('none', what, None, 100)
    assert ('\nranked by   Optimal Brain Damage; before training SNIP, GraSP, SynFlow; on 120 training examples\n'
            in text)
    # Three levels of ten outputs of each example; two batches, four passes over two batches, and a hundred rounds.
    assert f'\nto rank     6 networks by their derivatives, {3 * 1200 + 2 + 8 + 100:,} passes over them\n' in text
    # The dense network has losses at 41 places of two orders, of two batches each.
    assert f'\nto delete   weights of 1 dense networks, {1200 + 164:,} passes over them\n' in text
    assert plan._deletion(what) == (1364, 120 * 21 / 3 + 82 * 120 / 3)
    assert plan._ranking(what, runs.Run(0, 1, 'ticket')) == (1200, 120 * 21 / 3)
    assert plan._ranking(what, runs.Run(0, 0, 'ticket')) == (0, 0.0)
    # Not counted where no derivatives are read.
    text = plan.describe('none', protocol(**{'pruning.criterion': 'movement'}), None, 100)
    assert 'to rank' not in text and 'to delete' not in text


@pytest.mark.parametrize(('structure', 'said', 'densities'), [
    # Of 300 and 100 units, and all of the output layer's: 150 * 784 + 50 * 300 + 1000, and so on.
    ('channels', 'whole channels, by their mean score', '100.0 50.2 25.3'),
    ('block_16x100', 'whole blocks of 16 x 100, by their mean score', '100.0 50.8 25.6'),
    ('1:4', '1 of each 4 weights', '100.0 50.2 25.3')])
def test_a_plan_counts_groups(structure, said, densities):
    what = protocol(**{'pruning.structure': structure, 'pruning.fraction': 0.5, 'pruning.output_fraction': 0.0,
                       'pruning.levels': 2})
    text = plan.describe('none', what, None, 100)
    assert f'\nranked by   magnitude; {said}\n' in text
    assert f'\ndensities   {densities} %\n' in text


def test_a_plan_for_another_machine_takes_its_speed():
    what = protocol(branches=('ticket', 'random_mask'), **{'training.length': '1000it'})
    text = plan.describe('none', what, examples_per_second=312)
    operations = 6 * 266_200 * 7000 * 60 + 2 * 266_200 * 7000 * 150
    assert f'7,000 steps, 420,000 examples; 1,050,000 to evaluate on; {operations:.1e} floating-point' in text
    assert f'time        about {(420_000 + 350_000) / 312 / 60:.0f} min (at 312 examples/s in training' in text
    # Two files of each weight and Adam's two moments.
    assert f'and {plan.size(2 * 3 * 4 * 266_200)} for checkpoints' in text


def test_a_plan_of_one_replicate_of_a_sweep(tmp_path):
    what = protocol(
        name='swept', branches=('ticket', 'random_reinit', 'ticket_reordered'), branch_levels=(0, 1, 3), reinits=2,
        replicates=3, **{'training.length': '1000it', 'training.evaluate_every': '50it',
                         'pruning.rewind_to': '0it,100it', 'training.optimizer': 'momentum',
                         'training.learning_rate': 0.1})
    # The dense network, its copy on another order, and level 1, all of rewinding step 0; of another replicate as well.
    for replicate in (1, 2):
        for run in runs.wanted(what, replicate)[:3]:
            storage.write_json(storage.join(tmp_path, run.folder, 'result.json'), {})
    # To do: 2 tickets, 2 copies and 8 reinitialisations of 1,000 steps, 3 tickets and 3 copies of 900, and 15,000
    # evaluations every 50 steps: 17,400 * 266,200 * 6 * 60 + 5,220,000 * 266,200 * 2 operations. Six lines have 30
    # places, and 10,000 examples of each of two splits at each: at 1,000 examples/s 1,044 + 5,220 / 3 + 3,600 / 3
    # seconds in all. On the disk: 21 masks of 33,275 bytes, 4,000 for small files of each, 408 rows of 110,
    # and 4 * 266,200 times 3 + 8 * 0.8 + 2 * 0.64 + 8 * 0.512 networks; two checkpoints of weights and velocities.
    assert plan.describe(str(tmp_path), what, replicate=1, examples_per_second=1000) == f'''\
swept: lenet_300_100 on mnist, 1,000 steps a run of batch 60, rewinding to step 0, 100
folder      {tmp_path}
ranked by   magnitude

branch                             levels                 trainings    done   to do
Winning ticket                     0-3                            7       2       5
Winning ticket, other data orders  0-1, 3                         6       1       5
Random reinitialisation            1, 3                           8       0       8
all                                                              21       3      18

densities   100.0 80.0 64.0 51.2 %
to train    17,400 steps, 1,044,000 examples; 5,220,000 to evaluate on; 4.4e+12 floating-point operations
to measure  6 lines between two copies, 30 places each
time        about 66 min (at 1,000 examples/s in training, thrice that in evaluation)
disk        about 16.6 MB when finished, and 4.3 MB for checkpoints while training'''


def test_a_plan_counts_the_outcomes_that_are_not_finished(tmp_path):
    what = protocol(**{'pruning.levels': 4})
    results = ({'diverged': False}, {'diverged': True}, {'diverged': True, 'outcome': 'diverged'},
               {'diverged': False, 'outcome': 'emptied'})
    for run, result in zip(runs.wanted(what), results, strict=False):
        storage.write_json(storage.join(tmp_path, run.folder, 'result.json'), result)
        text = plan.describe(str(tmp_path), what, examples_per_second=1)
        assert ('of which' in text) is (result != {'diverged': False})
    assert text.split('to do')[1].splitlines()[1:4] == [
        'Winning ticket                     0-4                            5       4       1',
        'all                                                               5       4       1',
        'of which    2 diverged, 1 emptied']


def test_a_plan_says_which_job_trains_what(tmp_path):
    with locks.lock(str(tmp_path / 'replicate_1')):
        text = plan.describe(str(tmp_path), protocol(replicates=2), examples_per_second=1)
        assert text.splitlines()[-1] == f'working     {locks.owner(str(tmp_path / "replicate_1"))} on replicate 1'


def test_a_plan_measures_the_products_of_a_step_before_anything_is_done(monkeypatch):
    monkeypatch.setattr(os, 'cpu_count', lambda: 2)
    # Seconds of an example: a step trains on 60, and evaluates as much as trains on 50 more.
    monkeypatch.setattr(plan, '_product_seconds', lambda protocol: 1e-5)
    text = plan.describe('none', protocol(**{'training.length': '10000it'}))
    # 19 + 4 * 0.1 + 40,000 * (0.15 ms + 1.1 ms * 0.7): 56.2 seconds, half and twice.
    assert ('time        about 28 s to 2 min, with start, report and export, by how busy the machine is (from the '
            'matrix products of a step and its share of the evaluations, 1.1 ms just measured on one core; a GPU is '
            'faster)') in text


def test_what_is_measured_of_large_networks_stands_for_all_of_them(monkeypatch):
    asked = []
    monkeypatch.setattr(plan, '_weight_seconds', lambda rows, shape: asked.append((rows, shape)) or 2.0)
    assert plan._product_seconds(protocol()) == 3 * 2.0 / 60
    assert [rows for rows, _ in asked] == [60] * 3
    # A batch of 60 images is 60 * 151 rows of each kernel of ResNet-20.
    resnet = protocol(**{'model.name': 'resnet20', 'data.name': 'cifar10'})
    assert plan._product_seconds(resnet) == pytest.approx(len(resnet.shapes) * 2.0 / 64 * 40_813_184 / 270_896)


def test_a_weight_is_measured_as_a_part_of_it_in_the_fastest_of_several_tries(monkeypatch):
    times = itertools.chain([0], itertools.cycle([0.001, 0.002, 0.001, 0.0015]))
    clock = itertools.accumulate(times)
    monkeypatch.setattr(time, 'perf_counter', lambda: next(clock))
    # Measured is a square of 1,024 of a kernel of 3 * 3 * 512 by 2,048.
    assert plan._weight_seconds(2, (3, 3, 512, 2048)) == pytest.approx(0.0015 * 4608 * 2048 / 1024**2)


@pytest.mark.parametrize('package', ['tensorflow', 'tensorflow-tpu', 'tensorflow-cpu'])
def test_tensorflow_may_come_in_a_package_of_another_name(monkeypatch, package):
    installed = {package: '2.20.0', 'tf_keras': '2.20.1', 'tensorflow-model-optimization': '0.8.1', 'numpy': '2.4.6'}

    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, 'version', version)
    versions = runs.versions()
    assert re.fullmatch(r'3\.\d+\.\d+', versions.pop('python'))
    assert versions == {'tensorflow': '2.20.0', **{name: installed[name] for name in list(installed)[1:]}}


@pytest.mark.parametrize(('seconds', 'words'), [
    (3, '3 s'), (89, '89 s'), (90, '2 min'), (600, '10 min'), (5399, '90 min'), (5400, '1.5 h'), (9000, '2.5 h')])
def test_durations(seconds, words):
    assert plan.duration(seconds) == words


@pytest.mark.parametrize(('count', 'words'), [
    (12, '12 B'), (999, '999 B'), (1000, '1.0 kB'), (1500, '1.5 kB'), (99_949, '99.9 kB'), (250e6, '250 MB'),
    (3e12, '3000 GB')])
def test_sizes(count, words):
    assert plan.size(count) == words


def test_a_folder_is_claimed_and_described(tmp_path):
    runs.claim(str(tmp_path), protocol(), 'python main.py --config.seed=0')
    stored = json.loads((tmp_path / 'config.json').read_text())
    assert stored['command'] == 'python main.py --config.seed=0'
    assert stored['config']['training']['batch_size'] == 60
    assert stored['versions']['tensorflow-model-optimization'] == '0.8.1'
    assert runs.read_config(str(tmp_path)) == stored


def test_of_two_experiments_that_claim_a_folder_at_once_one_is_refused(tmp_path, monkeypatch):
    lock = locks.lock

    def after_the_other(*arguments, **options):
        monkeypatch.setattr(locks, 'lock', lock)
        runs.claim(str(tmp_path), protocol(seed=1), '')
        return lock(*arguments, **options)

    monkeypatch.setattr(locks, 'lock', after_the_other)
    with pytest.raises(UsageError, match='holds another experiment: its seed is 1, yours is 0'):
        runs.claim(str(tmp_path), protocol(), '')
    assert runs.read_config(str(tmp_path))['config']['seed'] == 1


def test_a_job_that_joins_leaves_the_description_alone(tmp_path):
    for command, levels in (('first', 3), ('second', 3), ('third', 4)):
        runs.claim(str(tmp_path), protocol(**{'pruning.levels': levels}), command)
        stored = runs.read_config(str(tmp_path))
        assert stored['command'] == ('third' if levels == 4 else 'first')
        assert stored['config']['pruning']['levels'] == levels


def test_a_job_that_joins_does_not_wait_for_a_report(tmp_path, monkeypatch):
    runs.claim(str(tmp_path), protocol(), 'first')
    monkeypatch.setattr(locks, 'lock', None)
    runs.claim(str(tmp_path), protocol(), 'second')


def test_a_job_that_changes_the_description_waits_for_a_report(tmp_path):
    with contextlib.ExitStack() as report:
        report.enter_context(locks.lock(str(tmp_path)))
        # Later than a lock is patient unasked.
        thread = threading.Timer(3 * locks._PATIENCE_SECONDS, report.close)
        thread.start()
        runs.claim(str(tmp_path), protocol(), '')
        thread.join()
    assert runs.is_claimed(str(tmp_path))


def test_a_folder_of_something_else_is_not_claimed(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(UsageError, match=f'^{tmp_path} holds files that are not of an experiment: choose another '):
        runs.claim(str(tmp_path), protocol(), '')
    assert not runs.is_claimed(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


def test_how_much_to_do_may_change_and_nothing_else(tmp_path):
    runs.claim(str(tmp_path), protocol(), '')
    runs.claim(str(tmp_path), protocol(**{'pruning.levels': 5, 'replicates': 4, 'reinits': 3, 'branch_levels': (1,),
                                          'branches': ('one_shot',), 'training.checkpoint_every': '7it'}), '')
    with pytest.raises(UsageError, match=r'holds another experiment: its seed is 0, yours is 1. Choose another '
                                         r'--workdir, or give --config.seed=0.'):
        runs.claim(str(tmp_path), protocol(seed=1), '')
    with pytest.raises(UsageError, match='its training.learning_rate is 0.0012, yours is 0.1'):
        runs.claim(str(tmp_path), protocol(**{'training.learning_rate': 0.1}), '')


def test_how_much_damage_is_put_up_with_may_change(tmp_path):
    for skipped in (0, 3):
        runs.claim(str(tmp_path), protocol(**{
            'data.name': 'imagenet2012', 'model.name': 'squeezenet', 'data.skip_corrupt': skipped}), '')
    assert runs.read_config(str(tmp_path))['config']['data']['skip_corrupt'] == 3


def test_a_folder_that_knows_less_of_weights_is_of_the_same_experiment(tmp_path):
    what = protocol()
    runs.claim(str(tmp_path), what, '')
    stored = runs.read_config(str(tmp_path))
    for weight in stored['facts']['weights'].values():
        # What folders of before do not have.
        del weight['channels']
    storage.write_json(str(tmp_path / 'config.json'), stored)
    runs.check_same(str(tmp_path), what)
    assert config.restore(stored).facts == what.facts
    stored['facts']['weights']['fc2/kernel']['shape'][1] = 99
    storage.write_json(str(tmp_path / 'config.json'), stored)
    with pytest.raises(UsageError, match='the weights or the examples of lenet_300_100 on mnist have changed since'):
        runs.check_same(str(tmp_path), what)


def test_what_the_command_line_cannot_say_is_not_the_remedy(tmp_path):
    runs.claim(str(tmp_path), protocol(**{'training.schedule': 'steps', 'training.milestones': ('5it', '9it')}), '')
    with pytest.raises(UsageError, match=r"Choose another --workdir, or give '--config.training.milestones=\['"):
        runs.claim(str(tmp_path), protocol(**{'training.schedule': 'steps', 'training.milestones': ('5it',)}), '')
    runs.claim(str(tmp_path / 'more'), protocol(), '')
    with pytest.raises(UsageError, match=r'its data.validation is None, yours is 9. Choose another --workdir\.$'):
        runs.claim(str(tmp_path / 'more'), protocol(**{'data.validation': 9}), '')


def test_the_remedy_for_a_replicate_that_there_is_not_is_one():
    for replicate, remedy in ((9999, r'choose one of these, or give --config.replicates=10000\.'),
                              (10_000, r'choose one of these\.')):
        with pytest.raises(UsageError, match=f'--replicate is {replicate}, but this .* replicate 0 only: {remedy}$'):
            runs.check_replicate(protocol(), replicate)


def test_a_folder_without_an_experiment_is_told(tmp_path):
    with pytest.raises(UsageError, match='holds no experiment: run one first'):
        runs.read_config(str(tmp_path))


def test_a_folder_is_free_again_where_its_experiment_was_refused_before_it_began(tmp_path):
    refused, other = protocol(), protocol(**{'pruning.criterion': 'movement'})
    assert runs.claim(str(tmp_path), refused, 'python main.py')
    assert not runs.claim(str(tmp_path), refused, 'python main.py')
    with locks.lock(str(tmp_path / 'replicate_0')):
        pass
    with pytest.raises(UsageError, match='holds another experiment'):
        runs.check_same(str(tmp_path), other)
    runs.disclaim(str(tmp_path))
    assert runs.claim(str(tmp_path), other, 'python main.py')
    # Once anything of it lies there it stays.
    storage.write_json(str(tmp_path / 'replicate_0' / 'rewind' / 'initial.npz'), {})
    runs.disclaim(str(tmp_path))
    assert runs.is_claimed(str(tmp_path))


def test_a_plan_counts_what_changes_and_what_is_learned_and_ranks_for_neither(tmp_path):
    text = plan.describe(str(tmp_path), protocol(
        branches=('gradual', 'set', 'rigl', 'static', 'edge_popup', 'edge_popup_trained', 'supermask'),
        branch_levels=(1, 3), replicates=1, **{'training.length': '1000it', 'pruning.criterion': 'taylor'}),
        examples_per_second=1000)
    # Two levels each: gradual pruning and RigL change until step 750 of 1,000, SET until its end.
    assert 'to change   46 masks while networks are trained\n' in text
    assert 'to learn    masks by scores in 4,000 of the steps\n' in text
    assert 'to rank' not in text
    # 1,000 steps of the dense network and of 14 others.
    assert 'to train    15,000 steps, ' in text
