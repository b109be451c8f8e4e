"""The command in this process: whatever is given, it ends in an exit code and at most one sentence."""

import itertools
import sys

import pytest
from absl import flags

import main
from tf_lottery import command, config

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
                main.define_flags(values)
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


PLAN = ('--mode=plan', '--images_per_second=100')


@pytest.mark.parametrize('base', BASES)
def test_a_config_file_may_hold_anything(tell, tmp_path, base):
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
    for key, number in itertools.product([*config.VALUES, *SECTIONS], range(len(ODD))):
        found = tell(*PLAN, f'--config={file}:{key}={number}', f'--workdir={tmp_path}/none')
        wrong[key, ODD[number]] = shortcoming(*found, key, str(file))
    assert {what: why for what, why in wrong.items() if why} == {}


def test_the_command_line_may_hold_anything(tell, tmp_path):
    wrong = {}
    for key, odd in itertools.product([*config.VALUES, *SECTIONS, 'training.lenght', 'seed.x', 'branches[9]'], ODD):
        if odd != '10**5000':
            argument = f'--config.{key}={eval(odd)}'
            found = tell(*PLAN, f'--workdir={tmp_path}/none', argument)
            wrong[argument] = shortcoming(*found, key)
    assert {what: why for what, why in wrong.items() if why} == {}


def test_every_flag_may_hold_anything(tell, tmp_path):
    values = flags.FlagValues()
    main.define_flags(values)
    wrong = {}
    for name, odd in itertools.product(values, ODD):
        if odd != '10**5000':
            argument = f'--{name}={eval(odd)}'
            wrong[argument] = shortcoming(*tell(*PLAN, f'--workdir={tmp_path}/none', argument), name)
    assert {what: why for what, why in wrong.items() if why} == {}
