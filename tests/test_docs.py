"""Every command and every example of the docs, run."""

import functools
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from absl import flags

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')), *sorted((ROOT / 'configs').glob('*.py'))]

# What makes a run so short that a test can wait for it; a command's own settings of the same keys come first.
TOY = {'config.training.length': '40it', 'config.training.evaluate_every': '20it', 'config.pruning.levels': '3',
       'config.replicates': '1', 'config.branch_levels': '(3,)', 'config.reinits': '1'}


def blocks(language):
    for page in PAGES:
        for block in re.findall(rf'```{language}\n(.*?)```', page.read_text(), re.DOTALL):
            yield page, block


def commands():
    found = [line for _, block in blocks('bash') for line in block.splitlines()]
    for page in PAGES:
        if page.suffix == '.py':
            found += re.findall(r'^Command +(.*)$', page.read_text(), re.MULTILINE)
    return list(dict.fromkeys(found))


def test_the_docs_have_commands():
    assert {'make ticket', 'make test', 'python main.py'} <= set(commands())


@pytest.mark.parametrize('line', [line for line in commands() if line.startswith('make ')])
def test_make_knows_the_target(line):
    subprocess.run([*line.split(), '--dry-run'], cwd=ROOT, check=True, capture_output=True)


def data_set_is_there(name):
    return (pathlib.Path(os.environ.get('TFDS_DATA_DIR', '')) / name).is_dir()


def options(line):
    """The flags of a command, parsed as main.py parses them, with toy lengths added."""
    import main

    arguments = shlex.split(line)[2:]
    values = flags.FlagValues()
    given = {argument.lstrip('-').split('=')[0] for argument in arguments}
    toy = [f'--{key}={value}' for key, value in TOY.items() if key not in given or key == 'config.training.length']
    # config_flags looks for its overrides on the command line of the process.
    former, sys.argv = sys.argv, ['main.py', *arguments, *toy]
    try:
        main.define_flags(values)
        values(sys.argv)
    finally:
        sys.argv = former
    return values


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder to run commands in, where the experiments that the docs export from are there."""
    folder = tmp_path_factory.mktemp('docs')
    (folder / 'configs').symlink_to(ROOT / 'configs')
    return folder


@pytest.fixture(scope='module', autouse=True)
def load_each_data_set_once():
    """Reading MNIST takes longer than what is done with it here."""
    from tf_lottery import data

    load = data.load
    data.load = functools.cache(load)
    yield
    data.load = load


MAINS = [line for line in commands() if line.startswith('python main.py')]
# Exports and reports come after the runs that they need.
MAINS.sort(key=lambda line: '--mode=export' in line or '--mode=report' in line)


@pytest.mark.parametrize('line', MAINS)
def test_main_does_what_the_docs_say(line, folder, monkeypatch, capsys):
    from tf_lottery import command

    monkeypatch.chdir(folder)
    if '--help' in line or '--cpu_devices' in line:
        # These need a process of their own: help ends it, and devices are split before TensorFlow starts.
        toy = [f'--{key}={value}' for key, value in TOY.items()] if '--cpu_devices' in line else []
        done = subprocess.run([sys.executable, str(ROOT / 'main.py'), *shlex.split(line)[2:], *toy],
                              capture_output=True, text=True, timeout=300, check=False)
        assert 'Traceback' not in done.stderr
        assert '--workdir' in done.stdout if '--help' in line else done.returncode == 0, done.stderr
        return
    values = options(line)
    if values.config.data.name != 'digits' and values.mode == 'run' and not data_set_is_there(values.config.data.name):
        pytest.skip(f'{values.config.data.name} is not in TFDS_DATA_DIR')
    if values.mode in ('export', 'report') and not (folder / values.workdir).exists():
        pytest.skip(f'the run in {values.workdir} was skipped')
    assert command.in_one_sentence(lambda: command.run(values, line)) == 0
    printed = capsys.readouterr().out
    for path in re.findall(r'^(?:Report|Ticket)  (\S+)', printed, re.MULTILINE):
        assert (folder / path).exists()


@pytest.mark.parametrize('line', [line for line in commands() if line.startswith('python benchmarks/')])
def test_the_benchmark_is_there(line):
    assert (ROOT / line.split()[1]).exists()


def test_every_command_is_run_here():
    assert all(line.startswith(('make ', 'python main.py', 'python benchmarks/')) for line in commands())


@pytest.mark.parametrize('block', [block for _, block in blocks('python')])
def test_the_example_runs(block, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    exec(block, {})
    printed = capsys.readouterr().out
    if 'levels(' in block:
        lines = printed.splitlines()
        assert [line.split(':')[0] for line in lines] == [f'level {number}' for number in range(11)]
        assert float(lines[-1].split()[-1]) > 0.8
    else:
        assert 'final_test_accuracy' in printed


def test_the_guide_has_every_branch():
    from tf_lottery.branches import BRANCHES

    table = (ROOT / 'docs' / 'guide.md').read_text().split('## The command line')[0]
    rows = re.findall(r'^\| (`.*?`) \|', table, re.MULTILINE)
    assert re.findall(r'`(.*?)`', ' '.join(rows)) == list(BRANCHES)


def test_links_lead_somewhere():
    for page in PAGES:
        if page.suffix == '.md':
            for target in re.findall(r'\]\((?!https?:)([^)#]+)', page.read_text()):
                assert (page.parent / target).exists(), f'{page.name} links to {target}'
