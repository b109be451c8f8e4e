"""Objects of the user's own by their references: what is run, once, and what is wrong with one in a sentence."""

import sys

import pytest

from tf_lottery.errors import UsageError
from tf_lottery.runtime import objects

FILES = {
    'good.py': 'import dataclasses\nfrom beside import value\n\n@dataclasses.dataclass\nclass Net:\n'
               '    size: int = value\n\ndef build():\n    import later\n    return later.value\n',
    'beside.py': 'import good\nvalue = 7\n',
    'later.py': 'value = 8\n',
    # A name that a module of Python has.
    'json.py': 'value = 9\n',
    'raises.py': 'x = 1\n\nx / 0\n',
    'syntax.py': 'x = 1\nx = = 3\n',
    'imports.py': 'import nothing_of_this_name\n',
    'refuses.py': 'from tf_lottery.errors import UsageError\nraise UsageError("give more.")\n',
    'package/__init__.py': '',
    'package/nets.py': 'counter = []\ndef build():\n    pass\n',
    'package/broken.py': '\nimport nothing_of_this_name\n',
    'no_package/__init__.py': 'import nothing_of_this_name\n',
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with the files; whatever is imported from it is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    before = dict(sys.modules)
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    yield tmp_path
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


def test_a_file_is_run_once_with_what_lies_beside_it(folder, monkeypatch):
    found = objects.load('good.py:Net', 'model.name')
    assert found().size == 7
    build = objects.load(f'{folder}/good.py:build', 'model.name')
    assert sys.modules[build.__module__].Net is found
    # What lies beside it imports the same module, and is found when it is needed, from any directory.
    assert sys.modules['beside'].good.Net is found
    monkeypatch.chdir('/')
    assert build() == 8
    assert objects.file_of(f'{folder}/good.py:Net') == f'{folder}/good.py'


def test_a_file_may_have_the_name_of_another_module():
    import json

    assert objects.load('json.py:value', 'task') == 9
    assert sys.modules['json'] is json and sys.path[0] != ''


def test_a_module_is_found_from_the_working_directory(folder):
    build = objects.load('package.nets:build', 'task')
    assert build is sys.modules['package.nets'].build
    assert objects.load('package/nets.py:build', 'task') is build
    assert objects.file_of('package.nets:build') == f'{folder}/package/nets.py'


@pytest.mark.parametrize(('reference', 'sentence'), [
    ('good.py', "task is 'good.py': give FILE.py:NAME, or PACKAGE.MODULE:NAME."),
    ('good.py:', "task is 'good.py:': give FILE.py:NAME, or PACKAGE.MODULE:NAME."),
    ('good.py:a b', "task is 'good.py:a b': give FILE.py:NAME, or PACKAGE.MODULE:NAME."),
    ('good.py:biuld', "good.py has no biuld, which task=good.py:biuld names: did you mean 'build'?"),
    ('good.py:zzz', 'good.py has no zzz, which task=good.py:zzz names: write it there, or give another task.'),
    ('nothing.py:x', 'nothing.py of task cannot be read (No such file or directory): give the path of a Python file.'),
    ('raises.py:x', 'line 3 of {}/raises.py ends in ZeroDivisionError (division by zero): mend it, or give another '
                    'task.'),
    ('syntax.py:x', 'line 2 of {}/syntax.py ends in SyntaxError (invalid syntax (syntax.py, line 2)): mend it, or give '
                    'another task.'),
    ('imports.py:x', "line 1 of {}/imports.py ends in ModuleNotFoundError (No module named 'nothing_of_this_name'): "
                     'mend it, or give another task.'),
    ('refuses.py:x', 'give more.'),
    ('package.zzz:x', 'there is no module package.zzz, which task names: give one that can be imported from here, or '
                      'FILE.py:NAME.'),
    ('zzz.nets:x', 'there is no module zzz.nets, which task names: give one that can be imported from here, or '
                   'FILE.py:NAME.'),
    ('package.nets.x:y', 'there is no module package.nets.x, which task names: give one that can be imported from '
                         'here, or FILE.py:NAME.'),
    ('package.broken:x', 'line 2 of {}/package/broken.py ends in ModuleNotFoundError (No module named '
                         "'nothing_of_this_name'): mend it, or give another task."),
    ('no_package.nets:x', "no_package.nets ends in ModuleNotFoundError (No module named 'nothing_of_this_name'): mend "
                          'it, or give another task.')])
def test_a_mistake_is_one_sentence(folder, reference, sentence):
    with pytest.raises(UsageError) as refused:
        objects.load(reference, 'task')
    assert str(refused.value) == sentence.format(folder)


def test_a_file_that_ended_in_an_error_is_run_anew(folder):
    with pytest.raises(UsageError):
        objects.load('raises.py:x', 'task')
    (folder / 'raises.py').write_text('value = 2\n')
    assert objects.load('raises.py:value', 'task') == 2
