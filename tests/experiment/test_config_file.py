"""Config files: what is read, and what is wrong with one in a sentence that names it."""

import pytest
from ml_collections import config_dict

from tf_lottery.errors import UsageError
from tf_lottery.experiment import config
from tf_lottery.experiment.config_file import ConfigFile

FILES = {
    'arms': 'def get_config(arm):\n    return {}[arm]',
    'dictionary': 'def get_config():\n    return {"replicates": 3}',
    'nothing': 'def get_config():\n    pass',
    'none': 'x = 3',
    'variable': 'get_config = 3',
    'syntax': 'x = 1\nx = = 3',
    'import': '\nimport nothing_of_this_name',
    'raises': 'def get_config():\n    x = 3\n    return 1 / 0',
    'type': 'from tf_lottery import config\n\ndef get_config():\n    c = config.defaults()\n    c.seed = 0.5\n',
    'opens': 'def get_config():\n    open("/nowhere/at/all")',
    'own': 'from tf_lottery.errors import UsageError\n\ndef get_config():\n    raise UsageError("has no arm.")',
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def written(name):
        (tmp_path / f'{name}.py').write_text(FILES[name])

    return written


@pytest.mark.parametrize(('name', 'arm', 'sentence'), [
    ('arms', '', 'get_config of arms.py takes an arm: give one, as in --config=arms.py:ARM.'),
    ('arms', ':x', "line 2 of arms.py ends in KeyError ('x'): mend it, as the files in configs/ show."),
    ('raises', ':x', 'get_config of raises.py takes no arm: leave out :x.'),
    ('dictionary', '', "get_config of dictionary.py returns {'replicates': 3}: return a ConfigDict, "
                       'tf_lottery.config.defaults() with what differs.'),
    ('nothing', '', 'get_config of nothing.py returns None: return a ConfigDict, tf_lottery.config.defaults() with '
                    'what differs.'),
    ('none', '', 'none.py has no function get_config: give --config a file that has one, as those of configs/ do.'),
    ('variable', '', 'variable.py has no function get_config: give --config a file that has one, as those of '
                     'configs/ do.'),
    ('syntax', '', 'line 2 of syntax.py ends in SyntaxError (invalid syntax (syntax.py, line 2)): mend it, as the '
                   'files in configs/ show.'),
    ('import', '', "line 2 of import.py ends in ModuleNotFoundError (No module named 'nothing_of_this_name'): mend it, "
                   'as the files in configs/ show.'),
    ('raises', '', 'line 3 of raises.py ends in ZeroDivisionError (division by zero): mend it, as the files in '
                   'configs/ show.'),
    ('opens', '', "line 2 of opens.py ends in FileNotFoundError ([Errno 2] No such file or directory: "
                  "'/nowhere/at/all'): mend it, as the files in configs/ show."),
    ('own', '', 'has no arm.')])
def test_a_mistake_names_the_file_and_the_line(write, name, arm, sentence):
    write(name)
    with pytest.raises(UsageError) as refused:
        ConfigFile().parse(f'{name}.py{arm}')
    assert str(refused.value) == sentence


def test_a_value_of_another_type_is_where_it_is_set(write):
    write('type')
    with pytest.raises(UsageError, match=r"^line 5 of type.py ends in TypeError \(Could not override field 'seed'"):
        ConfigFile().parse('type.py')


@pytest.mark.parametrize(('path', 'why'), [
    ('nothing.py', 'No such file or directory'), ('.', 'Is a directory'), ('', 'No such file or directory')])
def test_a_file_that_cannot_be_read_is_told(write, path, why):
    with pytest.raises(UsageError) as refused:
        ConfigFile().parse(path)
    assert str(refused.value) == (f'--config={path} cannot be read ({why}): give the path of a config file, such as '
                                  'those in configs/.')


def test_what_is_read_is_locked(tmp_path):
    path = tmp_path / 'good.cfg'
    path.write_text('import dataclasses\nfrom tf_lottery import config\n\n@dataclasses.dataclass\nclass Arm:\n'
                    '    levels: int = 7\n\ndef get_config(arm="x"):\n    settings = config.defaults()\n'
                    '    settings.pruning.levels = Arm().levels\n    settings.name = arm\n    return settings\n')
    found = ConfigFile().parse(str(path))
    assert (found.pruning.levels, found.name, found.is_locked) == (7, 'x', True)
    assert isinstance(found, config_dict.ConfigDict)
    assert ConfigFile().parse(f'{path}:conv2').name == 'conv2'
    assert set(config.flatten(found.to_dict())) == set(config.VALUES)
