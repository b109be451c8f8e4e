"""Each mode on a workdir that cannot be used: one sentence, and nothing of TensorFlow's."""

import errno
import json
import os
import shlex

import pytest
from absl import flags
from fake_files import fail

from tf_lottery import command
from tf_lottery.command import MODES
from tf_lottery.flags import define_flags


def ends(capsys, *arguments):
    """Runs a command in this process: (exit code, what it prints to the standard error)."""
    values = flags.FlagValues()
    define_flags(values)
    values(['main.py', *arguments])
    code = command.in_one_sentence(lambda: command.run(values, shlex.join(arguments)))
    return code, capsys.readouterr().err


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize(('workdir', 'sentence'), [
    ('s3://bucket/x', 'cannot look for s3://bucket/x/config.json: TensorFlow has no file system for s3://; give'),
    ('nosuch://x', 'cannot look for nosuch://x/config.json: TensorFlow has no file system for nosuch://; give a local'),
    ('http://host/x', 'cannot look for http://host/x/config.json: TensorFlow has no file system for http://; give a'),
    ('a\0b', "cannot look for 'a\\x00b/config.json': that is no name of a file; choose another one."),
    ('/', {'run': '/ holds files that are not of an experiment', 'report': '/ holds no experiment: run one first'}),
    ('a/file', {'run': 'cannot list a/file: there is a file in the place of a folder; choose another --workdir.',
                'report': 'a/file holds no experiment: run one first'})])
def test_a_workdir_that_cannot_be_one_is_told(tmp_path, monkeypatch, capsys, workdir, sentence, mode):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'file').write_text('')
    monkeypatch.chdir(tmp_path)
    if isinstance(sentence, dict):
        sentence = sentence['run' if mode in ('run', 'plan') else 'report']
    code, errors = ends(capsys, f'--workdir={workdir}', f'--mode={mode}')
    assert code in (1, 2)
    assert errors.startswith(f'tf_lottery: {sentence}') and len(errors.splitlines()) == 1
    assert os.listdir(tmp_path) == ['a'] and os.listdir(tmp_path / 'a') == ['file']


@pytest.mark.parametrize('mode', MODES)
def test_a_bucket_that_cannot_be_reached_is_told(files, capsys, mode):
    files.before = fail()
    assert ends(capsys, '--workdir=gs://bucket/x/', f'--mode={mode}') == (1, (
        'tf_lottery: cannot look for gs://bucket/x/config.json: Error executing an HTTP request: libcurl code 6; see '
        'that this host can reach it and has the rights, and run the same command again.\n'))


@pytest.mark.parametrize('mode', MODES)
def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch, capsys, mode):
    stat = os.stat

    def refuse(path, *arguments, **options):
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, 'stat', refuse)
    assert ends(capsys, f'--workdir={tmp_path}', f'--mode={mode}') == (1, (
        f'tf_lottery: cannot look for {tmp_path}/config.json: you may not read it; change its permissions, or choose '
        'another one.\n'))


@pytest.mark.parametrize('config', ['', '{', '{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator"}}'])
def test_a_cluster_that_makes_no_sense_is_told_before_anything_is_written(tmp_path, monkeypatch, capsys, config):
    monkeypatch.setenv('TF_CONFIG', config)
    code, errors = ends(capsys, f'--workdir={tmp_path / "run"}')
    assert code == 2
    assert errors.startswith('tf_lottery: TF_CONFIG ') and len(errors.splitlines()) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(('strategy', 'index', 'alone'), [('one_device', 1, True), ('auto', 1, False)])
def test_a_strategy_of_one_process_is_alone_in_any_cluster(tmp_path, monkeypatch, strategy, index, alone):
    trained = []
    monkeypatch.setattr(command, '_train', lambda workdir, protocol, options, strategy, claims=None: trained.append(
        claims))
    monkeypatch.setattr(command, '_strategy', lambda options: None)
    monkeypatch.setenv('TF_CONFIG', json.dumps(
        {'cluster': {'worker': ['a:1', 'b:1']}, 'task': {'type': 'worker', 'index': index}}))
    values = flags.FlagValues()
    define_flags(values)
    values(['main.py', f'--workdir={tmp_path / "run"}', f'--strategy={strategy}', '--replicate=0'])
    command.in_one_sentence(lambda: command.run(values, ''))
    # Who has no claims is told by the first worker what to train.
    assert [claims is not None for claims in trained] == [alone]
