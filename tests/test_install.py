"""The package as others get it: built, installed into an environment of its own, and used outside of the checkout."""

import ast
import importlib.metadata
import itertools
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import venv
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tf_lottery

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())
# Imported only where they are asked for, and a sentence says how to install them.
CLOUDS = {'kubernetes', 'googleapiclient', 'google'}


def start(*command, cwd, **env):
    """Runs a command that does not see the checkout."""
    env = {**{name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}, **env}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=900, check=False)


def pip(*arguments, cwd):
    done = start(sys.executable, '-m', 'pip', '--disable-pip-version-check', *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


def build(source, folder):
    """The wheel of a checkout or of a source archive."""
    pip('wheel', '--no-deps', '--no-index', '--no-build-isolation', f'--wheel-dir={folder}', str(source), cwd=folder)
    (wheel,) = folder.glob('*.whl')
    return wheel


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module', params=['linked', pytest.param('from_an_index', marks=pytest.mark.slow)])
def installed(request, wheel, tmp_path_factory):
    """The programs of a new environment that has the wheel: a function from a program's name to its path.

    Its dependencies are those of this environment, or everything comes from an index.
    """
    folder = tmp_path_factory.mktemp('environment')
    venv.create(folder)
    own = pathlib.Path(folder, 'lib', f'python{sys.version_info.major}.{sys.version_info.minor}', 'site-packages')
    where = ['--python', str(folder / 'bin' / 'python'), 'install']
    if request.param == 'linked':
        pip(*where, '--no-deps', '--no-index', str(wheel), cwd=folder)
        (own / 'dependencies.pth').write_text('\n'.join(path for path in sys.path if path.endswith('site-packages')))
    else:
        asked = start(sys.executable, '-m', 'pip', 'download', '--no-deps', '--dest=asked', 'tqdm', cwd=folder)
        if asked.returncode:
            pytest.skip(f'no package index can be reached: {asked.stderr.strip().splitlines()[-1]}')
        pip(*where, str(wheel), cwd=folder)
    assert (own / 'tf_lottery').is_dir()
    return lambda program: str(folder / 'bin' / program)


def contents(wheel):
    return {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}


def test_the_wheel_has_every_file_and_no_other(wheel):
    files = {str(path.relative_to(ROOT)) for folder in ('tf_lottery', 'configs') for path in (ROOT / folder).rglob('*')
             if path.is_file() and path.parent.name != '__pycache__'}
    assert contents(wheel) == {re.sub('^configs/', 'tf_lottery/configs/', name) for name in files}
    assert {'tf_lottery/reporting/report.html.j2', 'tf_lottery/configs/mnist_lenet.py'} <= contents(wheel)
    assert any(name.endswith('/licenses/LICENSE') for name in zipfile.ZipFile(wheel).namelist())


def test_the_source_archive_gives_the_same_wheel(wheel, tmp_path):
    built = start(sys.executable, '-m', 'hatchling', 'build', '--target=sdist', f'--directory={tmp_path}', cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (archive,) = tmp_path.glob('*.tar.gz')
    assert contents(build(archive, tmp_path)) == contents(wheel)


def test_the_example_of_the_readme_runs(installed, tmp_path):
    (example,) = [block for block in re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
                  if 'model.fit' in block]
    (tmp_path / 'example.py').write_text(f'{example}\nprint(tf_lottery.__file__)\n')
    done = start(installed('python'), 'example.py', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *levels, file = done.stdout.splitlines()
    assert [line.split(':')[0] for line in levels] == [f'level {number}' for number in range(11)]
    assert pathlib.Path(file).is_relative_to(pathlib.Path(installed('python')).parents[1])


def test_the_command_is_main(installed, tmp_path):
    module = installed('python'), '-m', 'tf_lottery'
    helped = [start(*program, '--help', cwd=tmp_path).stdout for program in (
        (sys.executable, str(ROOT / 'main.py')), (installed('tf_lottery'),), module)]
    flags = [text.split('\nflags:\n')[1].split('\n', 2)[2] for text in helped]
    assert '--workdir' in flags[0] and "(default: 'digits_lenet')" in flags[0]
    assert flags[0] == flags[1] == flags[2]
    assert helped[1].startswith('Finds winning tickets') and '\n    tf_lottery --config=mnist_lenet ' in helped[1]
    for program in ((installed('tf_lottery'),), module):
        assert start(*program, '--version', cwd=tmp_path).stdout == f'tf_lottery {tf_lottery.__version__}\n'


@pytest.mark.parametrize(('config', 'path'), [
    ([], 'digits_lenet.py'), (['mnist_lenet'], 'mnist_lenet.py'), (['cifar10_resnet20:low'], 'cifar10_resnet20.py:low'),
    # One that begins with another.
    (['connectivity:resnet20'], 'connectivity.py:resnet20')])
def test_a_config_that_ships_goes_by_its_name(installed, tmp_path, config, path):
    planned = start(installed('tf_lottery'), '--mode=plan', *(f'--config={name}' for name in config), cwd=tmp_path)
    expected = start(sys.executable, str(ROOT / 'main.py'), '--mode=plan', f'--config={ROOT}/configs/{path}',
                     cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    # How long it would take is measured anew each time.
    assert planned.stdout.split('\ntime ')[0] == expected.stdout.split('\ntime ')[0]
    assert len(planned.stdout.splitlines()) > 5


def test_a_config_of_ones_own_begins_with_one_that_ships(installed, tmp_path):
    (tmp_path / 'my.py').write_text(
        'from tf_lottery.configs import mnist_lenet\n\n\ndef get_config():\n    config = mnist_lenet.get_config()\n'
        "    config.name = 'mine'\n    return config\n")
    planned = start(installed('tf_lottery'), '--config=my.py', '--mode=plan', cwd=tmp_path)
    assert planned.stdout.startswith('mine: lenet_300_100 on mnist')
    assert '\nfolder      runs/mine\n' in planned.stdout


def test_the_whole_way_outside_of_the_checkout(installed, tmp_path):
    """With the page of a report, and the program that verifies an export in a process of its own."""
    flags = ['--jit=off', '--config.training.length=40it', '--config.pruning.levels=1', '--config.branch_levels=(1,)',
             '--config.replicates=1', '--config.reinits=1', "--config.export.forms=('tflite',)",
             '--config.export.latency_seconds=0.0']
    done = start(installed('tf_lottery'), *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / 'runs' / 'digits_lenet'
    assert 'Winning ticket' in (folder / 'report' / 'index.html').read_text()
    assert '"command": "tf_lottery --jit=off ' in (folder / 'config.json').read_text()
    assert list(folder.glob('**/*.tflite'))


def pins():
    """From name to version, of requirements.txt."""
    lines = [Requirement(line) for line in (ROOT / 'requirements.txt').read_text().splitlines()
             if line and not line.startswith('#')]
    assert all(str(line.specifier).startswith('==') for line in lines)
    return {canonicalize_name(line.name): str(line.specifier).removeprefix('==') for line in lines}


def test_requirements_pin_what_is_declared():
    declared = {canonicalize_name(each.name): each.specifier for each in map(
        Requirement, PROJECT['project']['dependencies'] + PROJECT['dependency-groups']['dev'] + PROJECT['project'][
            'optional-dependencies']['control'])}
    assert set(pins()) == set(declared)
    assert [name for name, version in pins().items() if version not in declared[name]] == []


def test_what_is_imported_is_declared():
    trees = [ast.parse(path.read_text()) for path in (ROOT / 'tf_lottery').rglob('*.py')]
    names = {name.split('.')[0] for tree in trees for node in ast.walk(tree) for name in (
        [alias.name for alias in node.names] if isinstance(node, ast.Import) else
        [node.module] if isinstance(node, ast.ImportFrom) else [])}
    # These stand beside the programs that verify exports, which run by themselves.
    names -= {'tf_lottery', 'batches', 'timing', *CLOUDS, *sys.stdlib_module_names}
    packages = importlib.metadata.packages_distributions()
    declared = {canonicalize_name(Requirement(each).name) for each in itertools.chain(
        PROJECT['project']['dependencies'], *PROJECT['project']['optional-dependencies'].values())}
    assert 'numpy' in names
    # What an extra brings may not be installed here; its distribution is called as its package.
    assert {name for name in names if not declared & {
        canonicalize_name(each) for each in packages.get(name, [name])}} == set()
