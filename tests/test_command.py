"""The command in this process: whatever is given, it ends in an exit code and at most one sentence."""

import itertools
import random
import sys

import pytest
from absl import flags
from fake_runs import save_experiment, save_run, save_untrained

from tf_lottery import command
from tf_lottery.experiment import config
from tf_lottery.experiment.runs import Run
from tf_lottery.flags import define_flags

# As they are written in a config file; on the command line as str() has them.
ODD = ["float('nan')", "float('inf')", '-1', '0', '1', '0.5', '1e-40', '1e39', '10**20', '10**5000', "''", "'x'",
       "'..'", r"'a\nb'", "'1e30it'", "'9' * 40 + 'it'", "'9' * 5000 + 'ep'", "b'5it'", 'None', 'True', '()', "('3',)",
       '(3, 3)', "('ticket', 'ticket')", "({},)", "{'a': 1}", 'object()', '__import__("numpy").zeros(99)']

SECTIONS = sorted({key.rpartition('.')[0] for key in config.VALUES} - {''})

# Experiments that between them read every key.
BASES = {
    'digits': {'data.name': 'digits', 'training.schedule': 'steps', 'training.milestones': ('500it',),
               'training.optimizer': 'momentum', 'training.length': '1000it'},
    'imagenet': {'data.name': 'imagenet2012', 'model.name': 'squeezenet', 'training.schedule': 'exponential',
                 'training.final_learning_rate': 1e-5, 'training.optimizer': 'rmsprop', 'training.scale_from': 30,
                 'pruning.scope': 'global', 'pruning.output_fraction': 0.2,
                 'branches': ('fine_tuning', 'ticket_reordered'), 'branch_levels': (0, 2)},
}


@pytest.fixture
def tell(monkeypatch, capsys):
    """Function from arguments to how main.py ends with them: (exit code, what stdout has, what stderr has)."""
    def run(*arguments):
        argv = ['main.py', *arguments]
        monkeypatch.setattr(sys, 'argv', argv)
        values = flags.FlagValues()
        try:
            with command.flag_errors():
                define_flags(values)
            command.parse_flags(values, argv)
            code = command.in_one_sentence(lambda: command.run(values, ' '.join(argv)))
        except SystemExit as end:
            code = end.code
        return (code, *capsys.readouterr())

    return run


def shortcoming(code, out, err, *names):
    """What is wrong with how a command ended, or None; a sentence has one of `names`, or is about what is named."""
    if code not in (0, 1, 2):
        return f'exit code {code}'
    if len(err.splitlines()) != (1 if code else 0):
        return f'not one line: {err}'
    if len(err) > 1000 or len(out) > 10_000:
        return f'{len(err)} and {len(out)} characters'
    if code and not any(name in err for name in (*names, 'unknown dataset', 'unknown model', "model 'squeezenet'",
                                                 'would leave no weight', 'data.validation', 'global ranking')):
        return err
    return None


@pytest.fixture(params=[4, pytest.param(1, marks=pytest.mark.slow)], ids=['some', 'all'])
def pairs(request):
    """Function from names and odd values to their pairs, of which one in four is drawn where time is short."""
    def drawn(names, odd):
        every = list(itertools.product(names, odd))
        return random.Random(0).sample(every, len(every) // request.param)

    return drawn


PLAN = ('--mode=plan', '--examples_per_second=100')


@pytest.mark.parametrize('base', BASES)
def test_a_config_file_may_hold_anything(tell, tmp_path, pairs, base):
    file = tmp_path / 'odd.py'
    file.write_text(f"""
from ml_collections import config_dict
from tf_lottery import config

def get_config(arm):
    key, number = arm.split('=')
    base = config.defaults()
    base.update_from_flattened_dict({BASES[base]})
    settings = config_dict.ConfigDict(base.to_dict(), type_safe=False)
    section, _, own = key.rpartition('.')
    (settings[section] if section else settings)[own] = [{', '.join(ODD)}][int(number)]
    return settings
""")
    wrong = {}
    for key, number in pairs([*config.VALUES, *SECTIONS], range(len(ODD))):
        found = tell(*PLAN, f'--config={file}:{key}={number}', f'--workdir={tmp_path}/none')
        wrong[key, ODD[number]] = shortcoming(*found, key, str(file))
    assert {what: why for what, why in wrong.items() if why} == {}


def test_the_command_line_may_hold_anything(tell, tmp_path, pairs):
    wrong = {}
    for key, odd in pairs([*config.VALUES, *SECTIONS, 'training.lenght', 'seed.x', 'branches[9]'], ODD):
        if odd != '10**5000':
            argument = f'--config.{key}={eval(odd)}'
            found = tell(*PLAN, f'--workdir={tmp_path}/none', argument)
            wrong[argument] = shortcoming(*found, key)
    assert {what: why for what, why in wrong.items() if why} == {}


def test_every_flag_may_hold_anything(tell, tmp_path, pairs):
    values = flags.FlagValues()
    define_flags(values)
    wrong = {}
    for name, odd in pairs(values, ODD):
        if odd != '10**5000':
            value = str(eval(odd))
            code, out, err = tell(*PLAN, f'--workdir={tmp_path}/none', f'--{name}={value}')
            # A path is named as it is, however long.
            for whole in (value, repr(value)):
                err = err.replace(whole, whole[:99])
            wrong[name, odd] = shortcoming(code, out, err, name, value[:99], repr(value)[:99])
    assert {what: why for what, why in wrong.items() if why} == {}


def test_a_key_that_a_config_file_misspells_is_refused_in_each_mode(tell, tmp_path):
    file = tmp_path / 'misspelt.py'
    file.write_text('from tf_lottery import config\n\ndef get_config():\n    settings = config.defaults()\n'
                    "    settings.training.lenght = '10it'\n    return settings\n")
    for mode in command.MODES:
        assert tell(f'--config={file}', f'--workdir={tmp_path}/none', f'--mode={mode}') == (
            2, '', 'tf_lottery: no config key training.lenght: Did you mean "length" instead of "lenght"?\n')
    assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize(('flag', 'by', 'others'), [
    ('--level=0', '--mode=export', ('run', 'plan', 'report')),
    ('--rewind_to=5it', '--mode=export', ('run', 'plan', 'report')),
    ('--weights=rewound', '--mode=export', ('run', 'plan', 'report')),
    ('--branch=snip', '--mode=export', ('run', 'plan', 'report')),
    ('--examples_per_second=9.0', '--mode=plan', ('run', 'report', 'export')),
    ('--tensorboard=True', '--mode=run', ('plan', 'report', 'export')),
    ('--replicate=0', '--mode=run and --mode=plan and --mode=export', ('report',)),
    ('--data_dir=x', '--mode=run and --mode=plan and --mode=export', ('report',)),
    ('--strategy=one_device', '--mode=run and --mode=plan', ('report', 'export')),
    ('--jit=on', '--mode=run and --mode=plan', ('report', 'export'))])
def test_a_mode_takes_the_flags_that_it_reads(tell, tmp_path, flag, by, others):
    for mode in others:
        name = flag.split('=')[0]
        assert tell(f'--mode={mode}', f'--workdir={tmp_path}/none', flag) == (
            2, '', f'tf_lottery: {flag} is read by {by}, not by --mode={mode}: leave {name} out, or give another '
                   '--mode.\n')


@pytest.mark.parametrize(('arguments', 'sentence'), [
    ('--cpu_devices=2', '--cpu_devices=2 is read by --strategy=mirrored, not by --strategy=auto: leave --cpu_devices '
                        'out, or give another --strategy.'),
    ('--cpu_devices=2 --strategy=one_device', '--cpu_devices=2 is read by --strategy=mirrored, not by '),
    ('--cpu_devices=2 --strategy=tpu --tpu=local', '--cpu_devices=2 is read by --strategy=mirrored, not by '),
    ('--cpu_devices=7 --strategy=mirrored', '--cpu_devices=7 does not divide a batch of 60: give a number that does, '),
    ('--cpu_devices=2 --strategy=mirrored --jit=on', '--jit=on cannot be with --cpu_devices=2: XLA does not compile '),
    ('--workers=2', '--workers=2 is read by --cluster=kubernetes and --cluster=gce, not by --cluster=auto: leave'),
    ('--pods=a=b', '--pods=a=b is read by --cluster=kubernetes, not by --cluster=auto: leave'),
    ('--instances=a/b/c', '--instances=a/b/c is read by --cluster=gce, not by --cluster=auto: leave'),
    ('--port=9000 --cluster=tf_config', '--port=9000 is read by --cluster=auto and --cluster=slurm and '),
    ('--port=9000 --strategy=mirrored', '--port=9000 is read by --strategy=auto and --strategy=multi_worker, not by '),
    ('--workdir=', '--workdir is empty: give it a value, or leave it out.'),
    ('--data_dir=', '--data_dir is empty: give it a value, or leave it out.'),
    ('--examples_per_second=inf --mode=plan', '--examples_per_second=inf is no speed: give a number above 0.'),
    ('--config.seed=x', "flag --config.seed=x: invalid literal for int() with base 10: 'x': give a whole number"),
    ('--config.data.flip=x', 'flag --config.data.flip=x: (\'Non-boolean argument to boolean flag\', \'x\'): give true'),
    ('--config.training=3', "flag --config.training=3: Failed to parse '3' as a ConfigDict: `3` is not a dict.: give"),
    ('--config.training.lenght=9it', 'no config key training.lenght: Did you mean "length" instead of "lenght"?'),
    ('--config.seed.x=3', 'no config key seed.x: Did you mean "seed" instead of "seed.x"?'),
    ('--config.nothing.at=3', 'no config key nothing.at: docs/guide.md lists those that there are.')])
def test_a_flag_that_cannot_be_is_one_sentence(tell, arguments, sentence):
    code, _, err = tell(*arguments.split())
    assert (code, err[:len(sentence) + 12]) == (2, f'tf_lottery: {sentence}')
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize('name', ['..', '.', 'a/b', '/', 'x' * 256])
def test_a_name_that_is_no_folder_needs_one(tell, tmp_path, name):
    assert tell(*PLAN, f'--config.name={name}') == (
        2, '', f'tf_lottery: name is {name!r}, which cannot be the name of a folder in runs/: choose another '
               '--config.name, or give --workdir.\n')
    code, out, err = tell(*PLAN, f'--config.name={name}', f'--workdir={tmp_path}/none/')
    assert (code, err) == (0, '')
    assert f'\nfolder      {tmp_path}/none\n' in out


def test_the_command_of_a_run_may_be_planned(tell, tmp_path):
    code, _, err = tell(*PLAN, f'--workdir={tmp_path}/none', '--strategy=mirrored', '--cpu_devices=4', '--jit=off',
                        '--data_dir=nowhere', '--replicate=2', '--config.training.batch_size=64')
    assert (code, err) == (0, '')


def test_an_experiment_whose_dense_network_diverges_comes_to_its_report(tell, tmp_path):
    arguments = [f'--workdir={tmp_path}', '--config.training.length=30it', '--config.pruning.levels=1',
                 '--config.training.evaluate_every=10it', '--config.training.learning_rate=1e30',
                 '--config.replicates=1', '--config.branch_levels=()']
    for job in (['--replicate=0'], []):
        code, out, _ = tell(*arguments, '--jit=off', *job)
        assert code == 0 and f'Report  {tmp_path}/report/index.html' in out
        assert out.endswith('No ticket is exported: the dense network of every replicate diverged.\n')
    assert 'of which    1 diverged, 3 left out' in tell(*arguments, '--mode=plan')[1]
    code, _, err = tell(*arguments, '--mode=export', '--level=1')
    assert code == 2 and 'level_01/ticket was not trained: choose another --level or --replicate.' in err


def test_the_first_replicate_that_has_an_end_is_exported_unless_one_is_asked_for(tmp_path):
    workdir, run = str(tmp_path), Run(0, 1, 'ticket')
    settings = config.defaults()
    settings.replicates = 4
    protocol = config.check(settings)
    assert command._to_export(workdir, protocol, run, True) == run
    save_untrained(workdir, 'left out', 'replicate_0/level_00/ticket')
    save_run(workdir, level=1, replicate=1, diverged=True)
    save_run(workdir, level=1, replicate=3)
    assert command._to_export(workdir, protocol, run, True) == Run(3, 1, 'ticket')
    assert command._to_export(workdir, protocol, run, False) == run


@pytest.mark.parametrize(('flags_', 'sentence'), [
    ('--branch=snap', "--branch is snap: did you mean 'snip'?"),
    ('--branch=x', '--branch is x: choose one of ticket, random_reinit, '),
    ('--branch=snip', 'has no finished run of --branch=snip: give one of ticket, random_reinit, random_mask.'),
    ('--branch=random_mask --level=3',
     'has no finished run of --branch=random_mask at level 3: give --level, one of 1, 2.'),
    ('--branch=random_mask --level=0',
     'has no finished run of --branch=random_mask at level 0: give --level, one of 1, 2.'),
    ('--branch=random_mask:1', '--branch=random_mask:1 asks for a copy of a branch that is trained once: give '
                               '--branch=random_mask.'),
    ('--branch=random_reinit:2', '--branch=random_reinit:2 is no copy that is trained, by reinits=2: give '
                                 '--branch=random_reinit:0 to --branch=random_reinit:1.'),
    ('--branch=random_reinit:x', '--branch=random_reinit:x is no copy that is trained'),
    ('--branch=random_reinit --weights=rewound --level=1',
     '--weights=rewound is W_k, which --branch=random_reinit does not start from: leave --weights out.'),
    ("--branch=random_reinit --level=1 --config.export.forms=('ticket',)",
     "kept nowhere: give another of --config.export.forms than 'ticket'."),
    ('--branch=', '--branch is empty: give it a value, or leave it out.')])
def test_a_branch_that_cannot_be_exported_is_refused_in_one_sentence(tell, tmp_path, flags_, sentence):
    save_experiment(str(tmp_path), levels=3, branches=('ticket', 'random_reinit', 'random_mask'), reinits=2)
    save_run(str(tmp_path))
    for level, branch in ((1, 'ticket'), (2, 'ticket'), (1, 'random_reinit'), (1, 'random_mask'), (2, 'random_mask')):
        save_run(str(tmp_path), branch, level)
    code, out, err = tell('--mode=export', f'--workdir={tmp_path}', *flags_.split(' '))
    assert (code, out) == (2, '') and sentence in err and len(err.splitlines()) == 1


def test_the_flag_chooses_the_branch_and_its_copy(tell, tmp_path, monkeypatch):
    from tf_lottery.exports import export

    asked = []
    monkeypatch.setattr(export, 'export_run', lambda workdir, stored, run, summary, weights, data_dir, command, how,
                        task: asked.append((run, weights, how.forms)) or 'there')
    save_experiment(str(tmp_path), branches=('ticket', 'random_reinit', 'random_mask'), reinits=2)
    save_run(str(tmp_path))
    for branch, copy in (('ticket', 0), ('random_reinit', 0), ('random_reinit', 1), ('random_mask', 0)):
        save_run(str(tmp_path), branch, 1, copy=copy)
    for wish, run, forms in (
            ('random_reinit', Run(0, 1, 'random_reinit', 0), ('saved_model',)),
            ('random_reinit:1', Run(0, 1, 'random_reinit', 1), ('saved_model',)),
            ('random_mask', Run(0, 1, 'random_mask'), ('saved_model', 'ticket'))):
        code, out, _ = tell('--mode=export', f'--workdir={tmp_path}', f'--branch={wish}', '--level=1')
        assert code == 0 and asked[-1] == (run, 'trained', forms)
        assert ('kept nowhere: the form ticket is left out.\n' in out) is (len(forms) == 1)
        assert out.endswith(f'Ticket  there  ({wish}, level 1, rewinding to step 0, trained)\n')
    tell('--mode=export', f'--workdir={tmp_path}', '--branch=random_mask', '--level=1', '--weights=rewound')
    assert asked[-1][:2] == (Run(0, 1, 'random_mask'), 'rewound')


def test_the_report_of_a_folder_of_experiments_compares_them(tell, tmp_path):
    pruning = config.defaults().pruning.to_dict()
    for criterion, final in (('obd', 0.9), ('movement', 0.8)):
        save_experiment(str(tmp_path / criterion), criterion, pruning={**pruning, 'criterion': criterion})
        for level in (0, 1):
            save_run(str(tmp_path / criterion), level=level, final=final)
    code, out, err = tell('--mode=report', f'--workdir={tmp_path}/')
    assert (code, err) == (0, '')
    assert out.startswith('Criteria at the same density\n') and out.endswith(f'Report  {tmp_path}/report/index.html\n')
    # Once more, beside the report that is there; and each has its own.
    assert tell('--mode=report', f'--workdir={tmp_path}')[:2] == (0, out)
    assert tell('--mode=report', f'--workdir={tmp_path}/obd')[1].endswith(f'Report  {tmp_path}/obd/report/index.html\n')
    assert tell('--mode=report', f'--workdir={tmp_path}/none') == (
        2, '', f'tf_lottery: {tmp_path}/none holds no experiment: run one first, or give its folder with --workdir.\n')
