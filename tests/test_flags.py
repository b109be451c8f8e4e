"""Which config --config names, and what is said where there is none of that name."""

import pathlib
import sys

import pytest
from absl import flags

from tf_lottery import command, configs
from tf_lottery.flags import define_flags

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def parse(monkeypatch, tmp_path):
    """A function that parses flags as the command line does, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def parse(*arguments):
        # config_flags looks for its overrides on the command line of the process.
        monkeypatch.setattr(sys, 'argv', ['main.py', *arguments])
        values = flags.FlagValues()
        with command.flag_errors():
            define_flags(values)
        command.parse_flags(values, sys.argv)
        return values

    return parse


def test_the_configs_that_ship_are_the_files_of_the_checkout():
    assert {path.stem: str(path) for path in (ROOT / 'configs').glob('*.py')} == configs.FILES


@pytest.mark.parametrize('wish', [
    ['--config=cifar10_resnet20:low'], ['--config', 'cifar10_resnet20:low'], ['-config=cifar10_resnet20:low'],
    [f'--config={ROOT}/configs/cifar10_resnet20.py:low']])
def test_a_name_and_a_path_are_the_same_config(parse, wish):
    assert parse(*wish).config.name == 'cifar10_resnet20_low'


def test_keys_change_the_default_and_a_named_config(parse):
    assert parse('--config.replicates=7').config.to_dict() == {
        **parse('--config=digits_lenet').config.to_dict(), 'replicates': 7}
    assert parse('--config=mnist_lenet', '--config.name=mine').config.name == 'mine'


def test_a_folder_or_a_file_of_the_name_does_not_hide_a_config(parse, tmp_path):
    (tmp_path / 'digits_lenet').mkdir()
    (tmp_path / 'mnist_lenet').write_text('')
    for name in ('digits_lenet', 'mnist_lenet'):
        assert parse(f'--config={name}').config.name == name


def test_a_file_of_ones_own_needs_no_suffix(parse, tmp_path):
    (tmp_path / 'mine').write_text('from tf_lottery.configs import digits_lenet\nget_config = digits_lenet.get_config')
    assert parse('--config=mine').config.name == 'digits_lenet'


NAMES = ', '.join(sorted(configs.FILES))
OTHER = 'which is neither a file nor the name of a config that ships'
SENTENCES = {
    'mnist_lent': f"--config is 'mnist_lent', {OTHER}: did you mean 'mnist_lenet'?",
    'mnist_lent:arm': f"--config is 'mnist_lent', {OTHER}: did you mean 'mnist_lenet'?",
    # A command of the docs, outside of the checkout.
    'configs/mnist_lenet.py': f"--config is 'configs/mnist_lenet.py', {OTHER}: did you mean 'mnist_lenet'?",
    'rainfall': f"--config is 'rainfall', {OTHER}: choose one of {NAMES}, or give the path of a file of your own.",
    '': f"--config is '', {OTHER}: choose one of {NAMES}, or give the path of a file of your own.",
    'cifar10_conv:conv3': "configs/cifar10_conv.py has no arm 'conv3': choose one of conv2, conv4, conv6, "
                          'conv2_dropout, conv4_dropout, conv6_dropout.'}


@pytest.mark.parametrize('wish', SENTENCES)
def test_a_config_that_there_is_not_is_named_with_what_there_is(parse, capsys, wish):
    with pytest.raises(SystemExit, match='^2$'):
        parse(f'--config={wish}')
    said = capsys.readouterr().err
    assert said.startswith('tf_lottery: ') and said.endswith(f': {SENTENCES[wish]}\n') and said.count('\n') == 1
