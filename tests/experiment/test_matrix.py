"""Experiments of one config that take tickets from each other."""

import re
import types

import pytest
from absl import flags as absl_flags

from tf_lottery import command
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config, matrix, runs
from tf_lottery.flags import define_flags
from tf_lottery.runtime import locks, storage


def chosen(members=None, **changes):
    settings = config.defaults()
    settings.data.name = 'digits'
    settings.training.length = '20it'
    settings.training.evaluate_every = '10it'
    settings.pruning.levels = 1
    settings.pruning.rewind_to = '5it'
    settings.replicates = 1
    settings.branches = ('ticket', 'transferred')
    settings.export.forms = ('ticket',)
    settings.export.latency_seconds = 0.0
    settings.matrix = members or {part: {'data': {'part': part}} for part in 'ab'}
    settings.update_from_flattened_dict(changes)
    return settings


def test_each_member_takes_from_all_others():
    a, b, c = matrix.members(chosen({'a': {}, 'b': {'training': {'optimizer': 'sgd'}}, 'c': {}}), 'runs/all')
    assert [(each.name, each.workdir) for each in (a, b, c)] == [
        ('a', 'runs/all/a'), ('b', 'runs/all/b'), ('c', 'runs/all/c')]
    assert a.planned.config.sources == ('runs/all/b', 'runs/all/c')
    assert b.planned.config.training.optimizer == 'sgd'
    assert (b.planned.config.name, c.planned.config.training.optimizer) == ('b', 'adam')
    assert list(b.planned.sources) == ['a', 'c']
    assert [run.folder for run in runs.wanted(b.planned)] == [f'replicate_0/level_{run}' for run in (
        '00/ticket', '01/ticket', '01/transferred_from_a', '01/transferred_from_c')]
    assert [run.folder for run in runs.wanted(b.found)] == [
        'replicate_0/level_00/ticket', 'replicate_0/level_01/ticket']


def test_a_member_may_be_only_a_source_or_only_a_target():
    a, b, c = matrix.members(chosen({
        'a': {'branches': ('ticket',)}, 'b': {'sources': ('a',)}, 'c': {'sources': ('a',)}}), 'runs/all')
    assert [bool(each.found) for each in (a, b, c)] == [True, False, False]
    assert [each.planned.config.sources for each in (a, b, c)] == [(), ('runs/all/a',), ('runs/all/a',)]


def test_the_rounds_of_a_member_are_one_experiment():
    a, _ = matrix.members(chosen(**{'transfer.start': 'anew'}), 'runs/all')
    assert not config.differences(a.planned.config.to_dict(), a.found.config.to_dict())
    assert config.identity(a.planned.config) == config.identity(a.found.config)


@pytest.mark.parametrize(('members', 'sentence'), [
    ({'a': {}, 'b': {'sources': ('c',)}}, "matrix.b.sources names 'c': give others of the matrix, which are a."),
    ({'a': {}, 'b': {'sources': ('b',)}}, "matrix.b.sources names 'b': give others of the matrix, which are a."),
    ({'a': {}, 'b': {'pruning': {'fractoin': 0.5}}}, 'no config key pruning.fractoin: Did you mean "fraction" instead '
     'of "fractoin"?'),
    ({'a': {}, 'b': {'pruning': {'fraction': 2.0}}}, 'pruning.fraction is 2.0: give the share of weights pruned per '
     'level, between 0 and 1 (0.2 in the papers).'),
    ({'a': {}, 'b': {'pruning': {'levels': 3}}}, 'pruning.levels is 3, and runs/all/a, which sources names, has '
     'pruning.levels=1: give as many or fewer, or run more of the source.'),
    ({'a': {}, 'b': {'data': {'name': 'cifar10'}, 'model': {'name': 'conv2'}}}, 'sources names runs/all/b, which is of '
     'another network (conv2 on cifar10, and this is lenet_300_100 on digits): the weight conv1/kernel is of that one '
     'only, so give a source of the same network.')])
def test_what_cannot_be_a_member_is_refused(members, sentence):
    with pytest.raises(UsageError) as error:
        matrix.members(chosen(members), 'runs/all')
    assert str(error.value) == sentence


def test_an_experiment_is_no_matrix():
    with pytest.raises(UsageError, match='no config key matrix.a'):
        config.check(chosen())


def test_a_folder_of_an_experiment_is_refused(tmp_path):
    alone = chosen(branches=('ticket',))
    alone.matrix = {}
    runs.claim(str(tmp_path), config.check(alone), 'python main.py')
    with pytest.raises(UsageError, match='holds an experiment, and a matrix keeps one folder for each of its own'):
        matrix.members(chosen(), str(tmp_path))


def options(workdir, settings, **flags):
    values = absl_flags.FlagValues()
    define_flags(values)
    values(['tf_lottery', f'--workdir={workdir}', *(f'--{name}={value}' for name, value in flags.items())])
    values['config'].value = settings
    return values


@pytest.mark.parametrize(('flags', 'sentence'), [
    ({'mode': 'export'}, '--mode=export is of one experiment, and the config is a matrix of 2: give the folder of one '
     'and its config, as in --workdir={workdir}/a --config={workdir}/a/config.json.'),
    ({'replicate': 0}, '--replicate=0 is of one experiment, and the config is a matrix of 2, whose jobs share all '
     'replicates: leave --replicate out.')])
def test_flags_of_one_experiment_are_refused(tmp_path, flags, sentence):
    with pytest.raises(UsageError) as error:
        command.run(options(tmp_path, chosen(), **flags), 'python main.py')
    assert str(error.value) == sentence.format(workdir=tmp_path)


def test_one_command_plans_and_trains_all_and_a_second_job_waits_for_the_first(tmp_path, capsys, monkeypatch):
    settings = chosen({'a': {'data': {'part': 'a'}, 'branches': ('ticket',)}, 'b': {'data': {'part': 'b'}}})
    command.run(options(tmp_path, settings, mode='plan'), 'python main.py')
    plans = capsys.readouterr().out
    assert re.findall(r'^all +(\d+) +(\d+) +(\d+)$', plans, re.MULTILINE) == [('2', '0', '2'), ('3', '0', '3')]
    assert not list(tmp_path.iterdir())
    # Another job trains the tickets of 'a', and lets go of them once this one waits.
    other = locks.lock(str(tmp_path / 'a' / 'replicate_0'))
    other.__enter__()
    monkeypatch.setattr(command, 'time', types.SimpleNamespace(sleep=lambda _: other.__exit__(None, None, None)))
    # Their own reports and exports would take longer than all else here.
    monkeypatch.setattr(command, '_finish', lambda workdir, *others: print(f'finished {workdir}'))
    command.run(options(tmp_path, settings, jit='off'), 'python main.py')
    printed = capsys.readouterr().out
    assert printed.count('Waiting for the tickets that others are to take: a: replicate 0 (process') == 1
    assert [line for line in printed.splitlines() if line.startswith(('Report', 'finished'))] == [
        f'finished {tmp_path}/a', f'finished {tmp_path}/b', f'Report  {tmp_path}/report/index.html']
    result = storage.read_json(f'{tmp_path}/b/replicate_0/level_01/transferred_from_a/result.json')
    assert result['outcome'] == 'finished'
    assert 'sources' not in storage.read_json(f'{tmp_path}/a/config.json')
    assert list(storage.read_json(f'{tmp_path}/b/config.json')['sources']) == ['a']


def test_data_of_a_later_member_that_are_not_there_are_told_of_before_any_is_trained(tmp_path, monkeypatch):
    for variable in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'):
        monkeypatch.setenv(variable, 'http://127.0.0.1:9')
    settings = chosen({'a': {}, 'b': {'data': {'name': 'mnist'}}})
    workdir, data_dir = tmp_path / 'run', tmp_path / 'data'
    data_dir.mkdir()
    with pytest.raises(UsageError, match=f'^mnist is not in {data_dir}/.* and could not be downloaded'):
        command.run(options(workdir, settings, jit='off', data_dir=data_dir), 'python main.py')
    assert not workdir.exists()
