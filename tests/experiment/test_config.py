"""The configs that ship, and the keys that they change."""

import importlib
import math
import pathlib
import re

import pytest

from tf_lottery.errors import UsageError
from tf_lottery.experiment import config, matrix

CONFIGS = [path.stem for path in sorted((pathlib.Path(__file__).parents[2] / 'configs').glob('*.py'))
           if path.stem != '__init__']


ARMS = [(name, arm) for name in CONFIGS
        for arm in (*getattr(importlib.import_module(f'configs.{name}'), 'ARMS', ()), None)]


@pytest.mark.parametrize('name', CONFIGS)
def test_a_docstring_describes_the_experiment(name):
    module = importlib.import_module(f'configs.{name}')
    for heading in ('Paper', 'Command', 'Cost', 'Expected'):
        assert f'\n{heading} ' in module.__doc__
    if hasattr(module, 'ARMS'):
        with pytest.raises(UsageError, match=f"configs/{name}.py has no arm 'none': choose one of"):
            module.get_config('none')


@pytest.mark.parametrize(('name', 'arm'), ARMS)
def test_a_config_can_be_run(name, arm):
    if name == 'atari_a2c':
        pytest.importorskip('ale_py', reason='Atari games are an extra')
    module = importlib.import_module(f'configs.{name}')
    chosen = module.get_config(arm) if arm else module.get_config()
    if len(chosen.matrix):
        # Of several experiments, each of which takes tickets from the others.
        assert chosen.name.startswith(f'{name}_{arm or ""}')
        members = matrix.members(chosen, 'runs/none')
        assert all(len(member.planned.sources) == len(members) - 1 for member in members)
        return
    what = config.check(chosen)
    assert what.config.name.startswith(name) if arm is None and not hasattr(module, 'ARMS') else (arm or '') in (
        what.config.name)
    assert set(config.flatten(what.config.to_dict())) == set(config.flatten(config.defaults().to_dict()))


def test_every_arm_has_a_name_of_its_own():
    names = [importlib.import_module(f'configs.{name}').get_config(*([arm] if arm else [])).name
             for name, arm in ARMS if arm]
    assert len(set(names)) == len(names)


def test_mnist_lenet_is_the_papers_column():
    """1803.03635, Figure 2."""
    what = config.check(importlib.import_module('configs.mnist_lenet').get_config())
    assert what.fractions == {'fc1/kernel': 0.2, 'fc2/kernel': 0.2, 'output/kernel': 0.1}
    assert (what.end_step, what.rewind_steps, what.facts.train) == (50_000, (0,), 55_000)
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


def cifar(**training):
    """A config of 30,000 steps of 128 images of CIFAR-10, trained by SGD with momentum, and what differs."""
    settings = config.defaults()
    settings.data.name = 'cifar10'
    settings.training.update({'length': '30000it', 'batch_size': 128, 'optimizer': 'momentum', **training})
    return settings


def test_lengths_of_a_schedule_are_in_steps():
    """1803.03635, section 5 and Figure 2; an epoch has 351 whole batches."""
    what = config.check(cifar(schedule='steps', milestones=('56ep', '25000it'), warmup='5ep'))
    assert (what.milestones, what.warmup_steps) == ((19_656, 25_000), 1755)
    plain = config.check(config.defaults())
    assert (plain.milestones, plain.warmup_steps) == ((), 0)


STEPS = {'schedule': 'steps', 'milestones': ('20000it', '25000it')}


@pytest.mark.parametrize(('training', 'sentence'), [
    ({'schedule': 'step'}, r"training\.schedule is 'step': choose one of constant, steps, .* Did you mean 'steps'\?"),
    ({'schedule': 'steps'}, r"training\.milestones is empty: say where training\.schedule='steps' drops .* as in \("),
    ({**STEPS, 'milestones': ('20000it', '20000it')}, r"\('20000it', '20000it'\), steps \(20000, 20000\): give incr"),
    ({**STEPS, 'milestones': ('70ep', '20000it')}, r'steps \(24570, 20000\): give increasing lengths above 0 and bef'),
    ({**STEPS, 'milestones': ('0it',)}, r'steps \(0,\): give increasing lengths above 0'),
    ({**STEPS, 'milestones': ('30000it',)}, r'steps \(30000,\): .* before the end of training, step 30000\.'),
    ({**STEPS, 'milestones': ('20k',)}, r"'20k' is not a length of training"),
    ({**STEPS, 'milestones': (20_000,)}, r'20000 is not a length of training'),
    ({**STEPS, 'drop': 10.0}, r'training\.drop is 10\.0: give a factor between 0 and 1'),
    ({'milestones': ('5it',)}, r"milestones is \('5it',\), which training\.schedule='constant' does not read: leave "
                               r"it out, or choose 'steps'\."),
    ({'schedule': 'cosine', 'drop': 0.5}, r"training\.drop is 0\.5, which training\.schedule='cosine' does not read"),
    ({**STEPS, 'final_learning_rate': 0.1}, r"does not read: leave it out, or choose 'linear' or 'exponential' or"),
    ({'schedule': 'linear', 'final_learning_rate': -0.1}, r'training\.final_learning_rate is -0\.1: give a number of'),
    ({'schedule': 'exponential'}, r'training\.final_learning_rate is 0, which an exponential schedule never comes to'),
    ({'warmup': '30000it'}, r"training\.warmup is '30000it', 30000 steps: it must end before .*, at step 30000\."),
    ({'warmup': '1x'}, r"'1x' is not a length of training"),
    ({'weight_decay': -1e-4}, r'training\.weight_decay is -0\.0001: give a number of 0 or more'),
    ({'weight_decay': math.nan}, r'training\.weight_decay is nan: give a number of 0 or more'),
    ({'rho': 0.5}, r"training\.rho is 0\.5, which training\.optimizer='momentum' does not read: .* choose 'rmsprop'\."),
    ({'optimizer': 'rmsprop', 'rho': 1.0}, r'training\.rho is 1\.0: give a number in \[0, 1\)'),
    ({'optimizer': 'rmsprop', 'epsilon': 0.0}, r'training\.epsilon is 0\.0: give a number above 0'),
    ({'optimizer': 'adam', 'momentum': 0.8}, r"training\.momentum is 0\.8, .* or choose 'momentum' or 'rmsprop'\."),
    ({'optimizer': 'sgd', 'epsilon': 1.0}, r"training\.epsilon is 1\.0, .* or choose 'adam' or 'rmsprop'\.")])
def test_an_optimizer_or_a_schedule_that_cannot_be_is_told(training, sentence):
    with pytest.raises(UsageError, match=sentence):
        config.check(cifar(**training))


@pytest.mark.parametrize('training', [
    STEPS, {**STEPS, 'drop': 0.2}, {'schedule': 'linear'}, {'schedule': 'cosine', 'final_learning_rate': 0.1},
    {'schedule': 'exponential', 'final_learning_rate': 6.6e-5}, {'warmup': '29999it'}, {'momentum': 0.5},
    {'optimizer': 'rmsprop', 'momentum': 0.0, 'rho': 0.99, 'epsilon': 1.0}, {'optimizer': 'adam', 'epsilon': 1e-3}])
def test_what_can_be_is_left_alone(training):
    config.check(cifar(**training))


def test_imagenet_is_the_papers_table():
    """1903.01611, Figure 6: epochs, batch, learning rates, share pruned and rewinding epoch; 10,000 images held out."""
    epoch = 1_271_167 // 1024
    get = importlib.import_module('configs.imagenet_oneshot').get_config
    every = resnet, inception, squeezenet = [
        config.check(get(arm)) for arm in ('resnet50', 'inception_v3', 'squeezenet')]
    assert [what.end_step / epoch for what in every] == [90, 171, 150]
    assert [what.rewind_steps for what in every] == [(4 * epoch,), (6 * epoch,), (10 * epoch,)]
    assert [what.config.pruning.fraction for what in every] == [0.7, 0.7, 0.5]
    assert (resnet.learning_rate, resnet.warmup_steps, resnet.milestones) == (
        0.4, 5 * epoch, (30 * epoch, 60 * epoch, 80 * epoch))
    assert (inception.learning_rate, inception.final_learning_rate) == (0.03, 0.005)
    assert (squeezenet.learning_rate, squeezenet.final_learning_rate) == (0.66, 6.6e-5)
    assert [what.task.dataset.shape for what in (resnet, inception)] == [(224, 224, 3), (299, 299, 3)]
    iterative = config.check(importlib.import_module('configs.imagenet_iterative').get_config())
    assert (iterative.rewind_steps, iterative.fractions['output/kernel']) == ((6 * epoch,), 0.2)


def test_learning_rates_are_those_of_the_batch_that_they_are_given_for():
    settings = config.defaults()
    settings.training.update({'batch_size': 240, 'scale_from': 60, 'learning_rate': 0.5, 'schedule': 'linear',
                              'final_learning_rate': 0.01})
    what = config.check(settings)
    assert (what.learning_rate, what.final_learning_rate) == (2.0, 0.04)
    settings.training.scale_from = None
    assert config.check(settings).learning_rate == 0.5


@pytest.mark.parametrize(('name', 'key', 'value', 'sentence'), [
    ('mnist', 'data.train', 64, 'data.train is 64, which is for data sets that are streamed; mnist is in me'),
    ('mnist', 'data.mix_up', 0.2, 'data.mix_up is 0.2, which is for data sets that are streamed; mnist is in memory'),
    ('mnist', 'data.rand_augment_magnitude', 0.9, 'data.rand_augment_magnitude is 0.9, which is for data sets that'),
    ('imagenet2012', 'data.flip', True, 'data.flip is True, which is for data sets that are of images of one size; i'),
    ('imagenet2012', 'data.mix_up', -1.0, 'data.mix_up is -1.0: give its alpha, above 0'),
    ('imagenet2012', 'data.skip_corrupt', -1, 'data.skip_corrupt is -1: give a whole number of 0 or more'),
    ('imagenet2012', 'data.rand_augment_magnitude', 1.5, 'data.rand_augment_magnitude is 1.5: give a number in'),
    ('mnist', 'training.label_smoothing', 1.0, 'training.label_smoothing is 1.0: give a share below 1'),
    ('mnist', 'training.scale_from', 0, 'training.scale_from is 0: give a whole number of 1 or more')])
def test_what_a_data_set_does_not_read_is_refused(name, key, value, sentence):
    settings = config.defaults()
    settings.data.name = name
    settings.update_from_flattened_dict({key: value})
    with pytest.raises(UsageError, match=f'^{sentence}'):
        config.check(settings)


def test_a_key_that_an_older_config_lacks_is_at_its_default():
    new = cifar().to_dict()
    old = config.defaults().to_dict()
    for key in ('rho', 'epsilon', 'weight_decay', 'schedule', 'milestones', 'drop', 'final_learning_rate', 'warmup'):
        del old['training'][key]
    del old['data']['flip']
    assert config.differences(old, config.defaults().to_dict()) == []
    del new['data'], old['data']
    assert config.differences(old, {**new, 'training': {**new['training'], **STEPS}}) == [
        ('training.batch_size', 60, 128), ('training.length', '50000it', '30000it'),
        ('training.milestones', [], ['20000it', '25000it']), ('training.optimizer', 'adam', 'momentum'),
        ('training.schedule', 'constant', 'steps')]


def test_differences_name_the_key():
    old, new = {'a': {'b': 1}, 'replicates': 3}, {'a': {'b': 2}, 'replicates': 5}
    assert config.differences(old, new) == [('a.b', 1, 2)]
    # JSON knows no tuples.
    assert config.differences({'x': [1, 2]}, {'x': (1, 2)}) == []


def test_every_key_has_a_kind():
    assert set(config.VALUES) == set(config.flatten(config.defaults().to_dict()))


def refused(settings):
    with pytest.raises(UsageError) as error:
        config.check(settings)
    return str(error.value)


@pytest.mark.parametrize(('key', 'sentence'), [
    ('training.lenght', 'no config key training.lenght: Did you mean "length" instead of "lenght"?'),
    ('replicate', 'no config key replicate: Did you mean "replicates" instead of "replicate"?'),
    ('training.replicates', 'no config key training.replicates: Did you mean "replicates" instead of '
                            '"training.replicates"?'),
    ('colour', 'no config key colour: docs/guide.md lists those that there are.'),
    ('trainig.length', 'no config key trainig: Did you mean "training" instead of "trainig"?')])
def test_a_key_that_there_is_not_is_refused(key, sentence):
    settings = config.defaults()
    section, _, own = key.rpartition('.')
    if section and section not in settings:
        settings[section] = {}
    (settings[section] if section else settings)[own] = '10it'
    assert refused(settings) == sentence


def test_a_key_that_lacks_is_told():
    settings = config.defaults()
    del settings.training.warmup
    assert refused(settings) == ('the config lacks training.warmup: begin it with tf_lottery.config.defaults(), and '
                                 'change what differs.')
    del settings['training']
    assert refused(settings).startswith('the config lacks training: ')
    with settings.ignore_type():
        settings.training = 3
    assert refused(settings) == ('training is 3: leave the ConfigDict that tf_lottery.config.defaults() has there, and '
                                 'change keys of it.')


def test_a_reference_that_cannot_be_computed_is_told():
    settings = config.defaults()
    settings.pruning.output_fraction = 1.0 / (settings.pruning.get_ref('fraction') - 0.2)
    assert refused(settings) == ('pruning.output_fraction cannot be computed (float division by zero): give it a '
                                 'value.')


@pytest.mark.parametrize(('changes', 'sentence'), [
    ({'data.crop_pixels': 28}, 'data.crop_pixels is 28: give fewer than 28, the pixels of a side of mnist'),
    ({'training.batch_size': 55_001}, 'training.batch_size is 55001, and data.validation=5000 leaves 55000 of the '
                                      '60000 training examples of mnist: give a smaller batch, or hold fewer'),
    ({'data.validation': 60_000}, 'data.validation is 60000: it must leave a batch of 60 or more of the 60000 '),
    ({'training.length': '536870913it', 'training.block': 1000},
     "training.length is '536870913it', 536,870,913 steps: give at most 536,870,912."),
    ({'training.evaluate_every': '1it', 'training.length': '1000001it'},
     "training.evaluate_every is '1it', which makes more than 1,000,000 pieces of 1,000,001 steps: give 2 or more"),
    ({'training.block': 1, 'training.length': '2000001it'},
     'training.block is 1, which makes more than 1,000,000 pieces of 2,000,001 steps: give 3 or more steps.'),
    ({'training.scale_from': 1, 'training.learning_rate': 1e38},
     'training.learning_rate, scaled to the batch, is 6e+39, which float32 takes for inf: choose rates and factors '
     'nearer to 1.'),
    ({'training.schedule': 'linear', 'training.scale_from': 1, 'training.final_learning_rate': 1e38},
     'training.final_learning_rate, scaled to the batch, is 6e+39, which float32 takes for inf'),
    ({'training.schedule': 'steps', 'training.milestones': ('1it', '2it'), 'training.drop': 1e-20},
     'the learning rate after all of training.milestones is 1.2e-43, which float32 takes for 0'),
    ({'training.schedule': 'exponential', 'training.final_learning_rate': 1.2e-38, 'training.learning_rate': 1e3},
     'training.final_learning_rate / training.learning_rate is 1.2e-41, which float32 takes for 0'),
    ({'pruning.scope': 'global', 'pruning.levels': 60},
     'level 60 would leave fewer weights than the 3 layers that are ranked together')])
def test_values_that_are_right_alone_are_compared(changes, sentence):
    settings = config.defaults()
    settings.update_from_flattened_dict(changes)
    assert refused(settings).startswith(sentence)


def test_the_longest_training_and_the_most_pieces():
    settings = config.defaults()
    settings.training.update({'length': '536870912it', 'block': 1000, 'evaluate_every': '1000it',
                              'checkpoint_every': '2000000000it'})
    assert config.check(settings).end_step == 2**29


def test_seeds_are_words_of_32_bits():
    """numpy.random.SeedSequence([2**32, 0]) is that of [0, 1]: seed 2**32 would have the replicates of seed 0."""
    settings = config.defaults()
    settings.seed = 2**32 - 1
    config.check(settings)
    settings.seed = 2**32
    assert refused(settings) == 'seed is 4294967296: give a whole number of 0 or more, at most 4,294,967,295.'


def test_an_experiment_that_was_finished_is_not_judged_anew():
    stored = config.defaults().to_dict()
    stored['training']['lenght'], stored['notes'], stored['seed'] = '10it', {'by': 'me'}, 2**40
    stored['branches'] = ['ticket', 'random_mask', 'ticket']
    del stored['training']['warmup'], stored['export']
    what = config.restore({'config': stored})
    assert (what.config.seed, what.warmup_steps, what.config.export.forms) == (2**40, 0, ('saved_model', 'ticket'))
    assert what.config.branches == ('ticket', 'random_mask', 'ticket')
    assert set(config.flatten(what.config.to_dict())) == set(config.VALUES)


def test_what_may_change_in_a_folder_is_no_part_of_an_experiments_identity():
    settings = config.defaults()
    settings.update_from_flattened_dict({'data.skip_corrupt': 3, 'replicates': 9, 'training.checkpoint_every': '7it'})
    assert config.identity(settings) == {}
    settings.training.schedule, settings.training.milestones = 'steps', ('5it', '9it')
    assert config.identity(settings) == {'training.schedule': 'steps', 'training.milestones': ['5it', '9it']}
    assert config.differences(config.defaults().to_dict(), settings.to_dict()) == [
        ('training.milestones', [], ['5it', '9it']), ('training.schedule', 'constant', 'steps')]


def criteria(branches=('ticket',), **pruning):
    settings = config.defaults()
    settings.pruning.update(pruning)
    settings.branches = branches
    return config.check(settings)


@pytest.mark.parametrize(('branches', 'pruning', 'sentence'), [
    (('ticket',), {'criterion': 'magnitud'}, "pruning.criterion is 'magnitud': choose one of the 28 that docs/guide.md "
     "lists. Did you mean 'magnitude'?"),
    (('ticket',), {'examples': 0}, 'pruning.examples is 0: '),
    (('ticket',), {'criterion': 'han'}, "pruning.criterion is 'han', which differs from 'magnitude' between layers "),
    (('ticket', 'synflow'), {'criterion': 'movement', 'examples': 200},
     "pruning.examples is 200, which neither pruning.criterion='movement' nor a branch reads: leave it out, or choose "
     "the criterion 'taylor' or 'obd' or a branch 'snip' or 'grasp'."),
    (('ticket',), {'criterion': 'obd', 'examples': 55_001},
     'pruning.examples is 55001, and lenet_300_100 on mnist has 55000 examples to train on: ')])
def test_a_criterion_that_cannot_be_is_told(branches, pruning, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        criteria(branches, **pruning)


def test_what_a_criterion_or_a_branch_reads_is_known_before():
    for what, derivatives in (
            (criteria(criterion='obd', examples=55_000), ('curvature',)),
            (criteria(('ticket', 'grasp_reinit'), criterion='taylor', examples=7), ('gradient', 'flow')),
            (criteria(('synflow', 'snip_shuffled'), examples=7), ('synaptic_flow', 'gradient')),
            (criteria(criterion='han', scope='global'), ()), (criteria(('initial_magnitude',)), ())):
        assert what.derivatives == derivatives


@pytest.mark.parametrize(('changes', 'sentence'), [
    ({'pruning.structure': '4x4'}, "pruning.structure is '4x4': give 'channels', M of each N weights as in '2:4', "),
    ({'pruning.structure': 'channels', 'pruning.output_fraction': 0.1},
     'pruning.output_fraction is 0.1, but the channels of the output layer are the answers, which pruning.structure='
     "'channels' leaves alone: give --config.pruning.output_fraction=0."),
    ({'pruning.structure': 'channels', 'pruning.levels': 40},
     'level 24 would leave no weight in fc2/kernel (100 channels, 0.2 pruned per level): '),
    ({'pruning.structure': '2:4'}, 'level 20 would leave 0 of each 4 weights in fc1/kernel, not 2 (0.2 pruned per '
     'level): prune 3 levels.'),
    ({'pruning.structure': '2:4', 'pruning.levels': 3, 'pruning.variables': 'all', 'pruning.scope': 'global'},
     "pruning.variables is 'all', and pruning.structure='2:4' is for kernels: leave out one of them."),
    ({'pruning.structure': '2:4', 'pruning.levels': 3, 'export.shrink': True},
     "export.shrink is True, which leaves out rows and columns of weights, and so takes pruning.structure='2:4' apart: "
     'leave export.shrink out.')])
def test_a_structure_that_cannot_be_is_told(changes, sentence):
    settings = config.defaults()
    settings.update_from_flattened_dict(changes)
    assert refused(settings).startswith(sentence)


def test_the_channels_of_the_output_layer_are_never_pruned():
    what = criteria(structure='channels')
    assert what.fractions == {'fc1/kernel': 0.2, 'fc2/kernel': 0.2, 'output/kernel': 0}
    assert criteria(structure='block_4x4').fractions['output/kernel'] == 0.2
    assert criteria(structure='channels', output_fraction=0.0).fractions == what.fractions


def test_an_export_shrinks_unless_that_takes_a_structure_apart():
    for what, by_default in ((criteria(), True), (criteria(structure='channels'), True),
                             (criteria(structure='2:4', levels=3), False), (criteria(structure='block_4x4'), False)):
        assert [what.shrinks(None, otherwise) for otherwise in (True, False)] == [by_default, False]
        assert what.shrinks(False, True) is False
    assert criteria(structure='channels').shrinks(True, False) is True


def test_a_structure_is_a_part_of_an_experiments_identity():
    assert config.identity(criteria(structure='channels').config) == {'pruning.structure': 'channels'}
    old = config.defaults().to_dict()
    del old['pruning']['structure']
    assert config.restore({'config': old}).structure.units == 'weights'
