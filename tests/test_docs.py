"""Every command and every example of the docs, run."""

import functools
import os
import pathlib
import re
import shlex
import subprocess
import sys

import fake_pairs
import fake_texts
import pytest
import yaml
from absl import flags

from tf_lottery.flags import define_flags
from tf_lottery.runtime import distribute

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')), *sorted((ROOT / 'configs').glob('*.py'))]

# What makes a run so short that a test can wait for it.
TOY = {'training.length': '40it', 'training.evaluate_every': '20it', 'pruning.levels': 3, 'replicates': 1,
       'branch_levels': (3,), 'reinits': 1, 'data_orders': 1, 'connectivity.points': 3, 'connectivity.examples': 100,
       'export.latency_seconds': 0.0}
# Convolutions take longer, and so do data sets of tens of thousands of images.
TOY_CONVOLUTIONS = {**TOY, 'training.length': '8it', 'training.evaluate_every': '4it', 'training.batch_size': 8,
                    'pruning.levels': 1, 'branch_levels': (1,)}
# Lengths of games are epochs.
TOY_GAMES = {'training.length': '3ep', 'training.evaluate_every': '1ep', 'training.checkpoint_every': '1ep',
             'training.batch_size': 8, 'pruning.levels': 1, 'control.games': 4, 'control.environments': 4,
             'control.block': 2, 'control.hidden': (8,), 'control.evaluation_games': 2}
EXAMPLES = 400
# Commands on an export, run as they are, once the examples have written what they read.
SHELL = ('saved_model_cli ', '(cd ')


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


@pytest.mark.parametrize('line', [line for line in commands() if line.startswith('pip ')])
def test_pip_knows_the_package(line):
    """Installing it is tested in test_install.py."""
    program, action, *rest = line.split()
    subprocess.run([sys.executable, '-m', program, action, '--dry-run', '--no-deps', '--no-index',
                    '--no-build-isolation', *rest], cwd=ROOT, check=True, capture_output=True)


def data_set_is_there(name):
    own = re.split('[/:]', name.removeprefix('tfds:'))[0]
    return (pathlib.Path(os.environ.get('TFDS_DATA_DIR', '')) / own).is_dir()


def typed_flags(line):
    """The flags of a command, as typed: `python main.py ...`, or `tf_lottery ...` where it is installed."""
    return shlex.split(line.removeprefix('python '))[1:]


def options(line):
    """The flags of a command, parsed as main.py parses them."""
    values = flags.FlagValues()
    # config_flags looks for its overrides on the command line of the process.
    former, sys.argv = sys.argv, ['main.py', *typed_flags(line)]
    try:
        define_flags(values)
        values(sys.argv)
    finally:
        sys.argv = former
    return values


def shorten(settings):
    """Makes a config one of toy size: a few steps, and two rewinding steps where there were more."""
    toy = dict(TOY if settings.model.name == 'lenet_300_100' else TOY_CONVOLUTIONS)
    if settings.training.schedule == 'steps':
        toy['training.milestones'] = ('4it', '6it')
    if settings.training.warmup != '0it':
        toy['training.warmup'] = '2it'
    if settings.data.name == 'imagenet2012':
        toy.update({'data.image_size': 107 if settings.model.name == 'inception_v3' else 32, 'data.train': 441,
                    'data.test': 53, 'data.validation': 41})
    toy['pruning.rewind_to'] = '0it,2it' if ',' in settings.pruning.rewind_to else '0it'
    if {'set', 'rigl'} & set(settings.branches):
        toy['sparse.update_every'] = '2it'
    if settings.edge_popup.warmup != '0it':
        toy['edge_popup.warmup'] = '2it'
    if settings.task == 'language_model':
        toy.update({'training.batch_size': 4, 'language_model.data': 'tiny', 'language_model.vocabulary': None,
                    'language_model.train_share': 1.0, 'language_model.units': 6, 'language_model.steps': 5})
    if settings.task == 'translation':
        toy.update({'training.batch_size': 16, 'translation.data': 'numbers', 'translation.vocabulary': 40,
                    'translation.layers': 1, 'translation.width': 8, 'translation.heads': 2,
                    'translation.feed_forward': 16, 'training.average': min(2, settings.training.average)})
    if settings.construction.widths:
        toy['construction.widths'] = (2, 3)
    # Some structures come out at their own number of levels.
    toy['pruning.levels'] = min(toy['pruning.levels'], settings.pruning.levels)
    if settings.task == 'control':
        toy.update({**TOY_GAMES, 'pruning.rewind_to': '0ep,1ep' if ',' in settings.pruning.rewind_to else '1ep',
                    'branch_levels': (1,)})
    if 0 in settings.branch_levels:
        toy['branch_levels'] = (0, *toy['branch_levels'])
    settings.update_from_flattened_dict(toy)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder to run commands in, with the files that the docs show: those blocks begin with the file's name."""
    folder = tmp_path_factory.mktemp('docs')
    (folder / 'configs').symlink_to(ROOT / 'configs')
    fake_texts.write(folder / 'texts' / 'tiny')
    fake_pairs.write(folder / 'texts' / 'numbers')
    for _, block in blocks('python'):
        for name in re.findall(r'\A# (\w+\.py)\n', block):
            (folder / name).write_text(block)
    return folder


@pytest.fixture(scope='module', autouse=True)
def load_each_data_set_once():
    """Reading a data set takes longer than what is done with it here; the large ones lose most of their examples."""
    from tf_lottery import data

    load = data.load

    @functools.cache
    def small(name, *arguments):
        splits = load(name, *arguments)
        if name == 'digits':
            return splits
        return data.Splits(*(split.take(slice(EXAMPLES)) for split in (splits.train, splits.validation, splits.test)))

    data.load = small
    yield
    data.load = load


MAIN = ('python main.py', 'tf_lottery')
# They go on from a folder that an example has made.
ONWARD = [line for line in commands() if line.startswith(MAIN) and '/config.json' in line]
MAINS = [line for line in commands() if line.startswith(MAIN) and line not in ONWARD]
# Exports and reports come after the runs that they need.
MAINS.sort(key=lambda line: '--mode=export' in line or '--mode=report' in line)


# Networks of convolutions, experiments of a dozen branches that other tests train, and two devices, which another page
# has as well.
LONG = ('configs/imagenet', 'configs/cifar10_', 'configs/mnist_lenet_tickets', 'configs/mnist_actions',
        'configs/mnist_lenet_oneshot', 'configs/pruning_before_training', 'configs/transfer', 'configs/stability',
        'configs/wikitext2_lstm', 'configs/ptb_lstm', 'configs/wmt14_transformer', 'configs/multi30k_transformer',
        'configs/acrobot', 'configs/lunarlander', 'configs/atari', 'configs/malach', 'runs/two_devices',
        'runs/mirrored', 'runs/mnist_lenet_3000', 'runs/obd_digits', 'runs/few_games', 'runs/gradual',
        'runs/rainfall_momentum')


def takes_long(line):
    """Whether only a slow test runs a command, as further arms of a config, which train as its first."""
    (name,) = re.findall(r'--config=(configs/\w+\.py):', line) or (None,)
    return any(part in line for part in LONG) or (
        bool(name) and line != next(other for other in MAINS if f'--config={name}' in other))


def require_extras(line):
    """Skips a command that needs what requirements.txt does not bring, for its licence."""
    if 'configs/atari_a2c' in line:
        pytest.importorskip('ale_py', reason='Atari games are an extra')


@pytest.mark.parametrize('line', [line for line in MAINS if takes_long(line)])
def test_every_arm_has_a_plan(line, folder, tmp_path, monkeypatch, capsys):
    from tf_lottery import command

    monkeypatch.chdir(folder)
    values = options(f'{line} --mode=plan --workdir={tmp_path}/none')
    assert command.in_one_sentence(lambda: command.run(values, line)) == 0
    assert values.config.name in capsys.readouterr().out


@pytest.mark.parametrize('line', [
    pytest.param(line, marks=pytest.mark.slow) if takes_long(line) else line for line in MAINS])
def test_main_does_what_the_docs_say(line, folder, monkeypatch, capsys):
    from tf_lottery import command

    require_extras(line)
    monkeypatch.chdir(folder)
    if '--help' in line or '--cpu_devices' in line:
        # These need a process of their own: help ends it, and devices are split before TensorFlow starts.
        toy = [f'--config.{key}={value}' for key, value in TOY.items()] if '--cpu_devices' in line else []
        done = subprocess.run([sys.executable, str(ROOT / 'main.py'), *typed_flags(line), *toy],
                              capture_output=True, text=True, timeout=300, check=False)
        assert 'Traceback' not in done.stderr
        assert '--workdir' in done.stdout if '--help' in line else done.returncode == 0, done.stderr
        return
    values = options(line)
    if values.mode != 'plan' or (folder / (values.workdir or f'runs/{values.config.name}')).exists():
        shorten(values.config)
        if values.config.task in ('language_model', 'translation'):
            values.data_dir = str(folder / 'texts')
        if values.mode == 'run':
            # The SavedModel at the end of a run takes longer than the run; the exports of the docs have it.
            values.config.export.forms = ('ticket',)
            # Compiling would take longer than all that is trained; other tests train with it.
            values.jit = 'off'
        # There is none.
        values.strategy = 'auto' if values.strategy == 'tpu' else values.strategy
    if values.config.control.batches and values.mode == 'run':
        pytest.skip('an epoch of batches has to be long enough for a game of Atari')
    name = values.config.data.name
    # Others are known without being there.
    needed = name.startswith('tfds:') or (
        name != 'digits' and values.mode == 'run' and values.config.task is None)
    if needed and not data_set_is_there(name):
        pytest.skip(f'{name} is not in TFDS_DATA_DIR')
    if values.mode in ('export', 'report') and not (folder / values.workdir).exists():
        pytest.skip(f'the run in {values.workdir} was skipped')
    assert command.in_one_sentence(lambda: command.run(values, line)) == 0
    printed = capsys.readouterr().out
    for path in re.findall(r'^(?:Report|Ticket)  (\S+)', printed, re.MULTILINE):
        assert (folder / path).exists()
    if values.config.task == 'control' and values.mode == 'run':
        assert (folder / (values.workdir or f'runs/{values.config.name}') / 'report' / 'film.gif').exists()


def manifests():
    """The objects of the docs' Kubernetes manifests."""
    return [each for _, block in blocks('yaml') for each in yaml.safe_load_all(block)]


def in_a_cluster():
    """The commands of the scripts and manifests for machines that are not here: several hosts, GPUs, schedulers."""
    for _, script in (*blocks('sh'), *blocks('slurm')):
        yield from re.findall(r'python main\.py[^\n|&]*', script.replace('\\\n', ''))
    for each in manifests():
        for container in each.get('spec', {}).get('template', {}).get('spec', {}).get('containers', ()):
            in_shell = container['command'] == ['sh', '-c']
            yield container['args'][0].removeprefix('exec ') if in_shell else shlex.join(container['command'])


@pytest.mark.parametrize('script', [block for language in ('sh', 'slurm') for _, block in blocks(language)])
def test_a_script_for_elsewhere_is_well_formed(script):
    done = subprocess.run(['bash', '-n'], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')


def test_manifests_are_well_formed():
    for each in manifests():
        assert {'apiVersion', 'kind', 'metadata'} <= set(each)
        if each['kind'] == 'Job':
            assert (each['apiVersion'], each['spec']['completionMode']) == ('batch/v1', 'Indexed')
            pod = each['spec']['template']['spec']
            # What podFailurePolicy asks for.
            assert 'podFailurePolicy' not in each['spec'] or pod['restartPolicy'] == 'Never'
            for container in pod['containers']:
                mounted = {mount['name'] for mount in container.get('volumeMounts', ())}
                assert mounted == {volume['name'] for volume in pod.get('volumes', ())}


@pytest.mark.parametrize('line', dict.fromkeys(in_a_cluster()))
def test_the_flags_of_a_command_for_elsewhere_are_right(line, tmp_path, monkeypatch, capsys):
    from tf_lottery import command

    for name in ('SLURM_ARRAY_TASK_ID', 'JOB_COMPLETION_INDEX'):
        monkeypatch.setenv(name, '4')
    # What else a shell would fill in has no value here.
    values = options(os.path.expandvars(line).replace('$', ''))
    assert values.strategy in distribute.STRATEGIES
    if '--replicate' in line:
        # A task for each replicate of the config, and the plan of this one has a fifth of it.
        assert (values.replicate, values.config.replicates) == (4, 5)
        values = options(f'{os.path.expandvars(line)} --mode=plan --workdir={tmp_path}/none')
        assert command.in_one_sentence(lambda: command.run(values, line)) == 0
        assert re.search(r'\nWinning ticket +0-20 +21 +0 +21\n', capsys.readouterr().out)


def test_an_array_has_a_task_for_each_replicate():
    jobs = [each['spec'] for each in manifests() if each['kind'] == 'Job' and 'podFailurePolicy' in each['spec']]
    assert jobs and all(job['completions'] == job['parallelism'] == 5 for job in jobs)
    assert [int(last) for _, script in blocks('slurm') for last in re.findall(r'--array=0-(\d+)$', script, re.M)] == [4]


BENCHMARKS = [line for line in commands() if line.startswith('python benchmarks/')]


@pytest.mark.parametrize('line', BENCHMARKS)
def test_the_benchmark_is_there(line):
    assert (ROOT / line.split()[1]).exists()


@pytest.mark.slow
@pytest.mark.parametrize('line', BENCHMARKS)
def test_the_benchmark_runs(line):
    script = pathlib.Path(line.split()[1])
    needed = {'overhead': 'mnist', 'imagenet_input': 'imagenet2012', 'imagenet_training': 'imagenet2012'}
    if script.stem in needed and not data_set_is_there(needed[script.stem]):
        pytest.skip(f'{needed[script.stem]} is not in TFDS_DATA_DIR')
    once = shlex.split(re.sub('--repeats=.*', '--repeats=1', line))[1:]
    done = subprocess.run([sys.executable, *once], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert '|---|' in done.stdout


def test_every_command_is_run_here():
    assert all(line.startswith(('make ', 'pip ', *MAIN, 'python benchmarks/', 'python results/', *SHELL))
               for line in commands())


@pytest.mark.slow
@pytest.mark.parametrize('line', [line for line in commands() if line.startswith('python results/')])
def test_the_study_of_a_run_runs(line, folder):
    _, script, *given = shlex.split(line)
    if not (folder / options(f'python main.py {shlex.join(given)}').workdir).exists():
        pytest.skip('the run that it studies was skipped')
    done = subprocess.run([sys.executable, str(ROOT / script), *given, '--steps=10', '--level=3'], cwd=folder,
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / pathlib.Path(script).with_suffix('.csv').name).exists()


@pytest.mark.parametrize('block', [block for _, block in blocks('python')])
def test_the_example_runs(block, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    # Files of the docs import each other.
    monkeypatch.syspath_prepend(folder)
    names = {}
    exec(block, names)
    printed = capsys.readouterr().out
    if 'levels(' in block:
        lines = printed.splitlines()
        assert [line.split(':')[0] for line in lines] == [f'level {number}' for number in range(11)]
        assert float(lines[-1].split()[-1]) > 0.8
    elif 'hold_zeros(' in block:
        (kept, size), (units, _), _ = [map(int, pair) for pair in re.findall(r'(\d+) of (\d+)', printed)]
        assert 0.02 < kept / size < 0.04
        assert 0 < units < 100
    elif 'tf_lottery.run(' in block:
        assert 'Report  runs/rainfall/report/index.html' in printed
        assert 'final_test_mae' in printed
    elif 'pivot_table' in block:
        assert re.search(r'config.pruning.criterion +magnitude +movement +obd\n', printed)
    elif 'load_results' in block:
        assert 'final_test_accuracy' in printed
    elif 'tf_lottery.export(' in block:
        assert (folder / re.fullmatch(r'exported to (\S+)\n', printed)[1] / 'SHA256SUMS').exists()
    elif 'def film(' in block:
        (clip,) = names['film'](iter([names['rainfall'].build(0)])).clips
        assert clip.pictures.shape == (7, 100, 100, 3) and 'at most' in clip.outcome
    elif block.startswith('# '):
        # A file, which commands read.
        assert printed == ''
    elif 'load_ticket' in block:
        assert 'lenet_300_100; Mask(' in printed
    else:
        assert re.fullmatch(r'labels \[[\d ]+\] of \[0 1 2 3 4\]\n', printed)


@pytest.mark.parametrize('line', ONWARD)
def test_the_command_line_goes_on_from_python(line, folder, monkeypatch, capsys):
    from tf_lottery import command

    monkeypatch.chdir(folder)
    if not (folder / re.findall('--workdir=(.*)', line)[0]).exists():
        pytest.skip('the example that makes the folder was skipped')
    values = options(line)
    assert command.in_one_sentence(lambda: command.run(values, line)) == 0
    assert f'Report  {values.workdir}/report/index.html' in capsys.readouterr().out


@pytest.mark.parametrize('line', [line for line in commands() if line.startswith(SHELL)])
def test_the_shell_does_what_the_docs_say(line, folder):
    path = f'{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, 'PATH': path})
    assert done.returncode == 0, done.stderr
    expected = {'sha256sum': 'saved_model.pb: OK', ' show ': "outputs['label']", ' run ': 'Result for output key label'}
    assert next(answer for word, answer in expected.items() if word in line) in done.stdout


def test_the_guide_has_every_branch():
    from tf_lottery.branches import BRANCHES

    table = (ROOT / 'docs' / 'guide.md').read_text().split('## The command line')[0]
    rows = re.findall(r'^\| (`.*?`) \|', table, re.MULTILINE)
    assert re.findall(r'`(.*?)`', ' '.join(rows)) == list(BRANCHES)


def test_the_guide_has_every_criterion():
    from tf_lottery.pruning.criteria import CRITERIA

    section = (ROOT / 'docs' / 'guide.md').read_text().split('## What weights are ranked by')[1].split('\n## ')[0]
    rows = re.findall(r'^\| (`.*?`) \|', section, re.MULTILINE)
    names = re.findall(r'`(.*?)`', ' '.join(rows))
    names.remove('pruning.criterion')
    first = [name for name in CRITERIA if not name.endswith('_sign')]
    assert sorted(names) == sorted(first)
    assert sum(name.endswith(('_same_sign', '_diff_sign')) for name in CRITERIA) == len(CRITERIA) - len(first)


def test_links_lead_somewhere():
    for page in PAGES:
        if page.suffix == '.md':
            for target in re.findall(r'\]\((?!https?:)([^)#]+)', page.read_text()):
                assert (page.parent / target).exists(), f'{page.name} links to {target}'
