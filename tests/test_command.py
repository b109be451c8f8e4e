"""The command in this process: whatever is given, it ends in an exit code and at most one sentence."""

import itertools
import sys

import pytest
from absl import flags

import main
from tf_lottery import command, config

# As they are written in a config file; on the command line as str() has them.
ODD = ["float('nan')", "float('inf')", "float('-inf')", '-1', '0', '1', '0.5', '1e-40', '1e39', '10**20', '-10**20',
       '10**5000', '1e400', "''", "'x'", "'..'", "'a/b'", r"'a\nb'", "'1e30it'", "'9' * 40 + 'it'", "'9' * 5000 + 'ep'",
       "'0it,0it'", "b'5it'", 'None', 'True', '()', '[]', "('3',)", '(3, 3)', "('ticket', 'ticket')", "({},)",
       "{'a': 1}", '{}', 'object()', '__import__("numpy").int64(3)', '__import__("numpy").zeros(99)']

KEYS = [*config.VALUES, *(key for key, value in config.defaults().items() if f'{key}.' in str(list(config.VALUES)))]


@pytest.fixture
def tell(monkeypatch, capsys):
    """Function from arguments to (exit code, what stdout has, what stderr has), as main.py ends with them."""
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
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def shortcoming(code, out, err):
    """What is wrong with how a command ended, or None."""
    if code not in (0, 1, 2):
        return f'exit code {code}'
    if len(err.splitlines()) != (1 if code else 0):
        return f'not one line: {err}'
    if len(err) > 2000 or len(out) > 20_000:
        return f'{len(err)} and {len(out)} characters'
    return None


PLAN = ('--mode=plan', '--images_per_second=100')


def test_a_config_file_may_hold_anything(tell, tmp_path):
    file = tmp_path / 'odd.py'
    file.write_text(f"""
from ml_collections import config_dict
from tf_lottery import config

def get_config(arm):
    key, number = arm.split('=')
    settings = config_dict.ConfigDict(config.defaults().to_dict(), type_safe=False)
    section, _, own = key.rpartition('.')
    (settings[section] if section else settings)[own] = [{', '.join(ODD)}][int(number)]
    return settings
""")
    wrong = {}
    for key, number in itertools.product(KEYS, range(len(ODD))):
        found = tell(*PLAN, f'--config={file}:{key}={number}', f'--workdir={tmp_path}/none')
        wrong[key, ODD[number]] = shortcoming(*found) or (
            None if not found[0] or key in found[2] or key.split('.')[-1] in found[2] else found[2])
    assert {what: why for what, why in wrong.items() if why} == {}
