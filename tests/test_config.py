"""The configs that ship, and the keys that they change."""

import importlib
import pathlib

import pytest

from tf_lottery import config

CONFIGS = [path.stem for path in sorted((pathlib.Path(__file__).parents[1] / 'configs').glob('*.py'))
           if path.stem != '__init__']


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_is_the_experiment_that_its_docstring_describes(name):
    module = importlib.import_module(f'configs.{name}')
    what = config.check(module.get_config())
    assert what.config.name == name
    for heading in ('Paper', 'Command', 'Cost', 'Expected'):
        assert f'\n{heading} ' in module.__doc__
    assert set(config.flatten(what.config.to_dict())) == set(config.flatten(config.defaults().to_dict()))


def test_mnist_lenet_is_the_papers_column():
    """1803.03635, Figure 2."""
    what = config.check(importlib.import_module('configs.mnist_lenet').get_config())
    assert what.fractions == {'fc1/kernel': 0.2, 'fc2/kernel': 0.2, 'output/kernel': 0.1}
    assert (what.end_step, what.rewind_steps, what.examples) == (50_000, (0,), 55_000)
    assert what.config.training.batch_size == 60
    assert (what.config.training.optimizer, what.config.training.learning_rate) == ('adam', 1.2e-3)
    assert (what.evaluate_every, what.config.replicates, what.config.reinits) == (100, 5, 3)


def test_the_output_layer_keeps_half_the_fraction():
    settings = importlib.import_module('configs.mnist_lenet').get_config()
    settings.pruning.fraction = 0.4
    assert config.check(settings).fractions['output/kernel'] == 0.2


def test_the_four_curves_of_figure_4():
    settings = importlib.import_module('configs.mnist_lenet_oneshot').get_config()
    assert settings.branches == ('ticket', 'random_reinit', 'one_shot', 'one_shot_reinit')


def test_a_group_that_is_never_pruned():
    settings = config.defaults()
    settings.pruning.output_fraction = 0.0
    assert config.check(settings).fractions['output/kernel'] == 0.0


def test_global_ranking_takes_one_fraction():
    settings = config.defaults()
    settings.pruning.scope = 'global'
    assert config.check(settings).fractions['output/kernel'] == 0.2
    settings.pruning.output_fraction = 0.1
    with pytest.raises(ValueError, match=r'global ranking takes one fraction for all layers, got \[0.1, 0.2\]'):
        config.check(settings)


def test_differences_name_the_key():
    old, new = {'a': {'b': 1}, 'replicates': 3}, {'a': {'b': 2}, 'replicates': 5}
    assert config.differences(old, new) == [('a.b', 1, 2)]
    # JSON knows no tuples.
    assert config.differences({'x': [1, 2]}, {'x': (1, 2)}) == []
