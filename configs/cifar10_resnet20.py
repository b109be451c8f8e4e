"""ResNet-20 on CIFAR-10 (the paper's "Resnet-18") at high, low and warmed-up learning rate, global and layer-wise.

Paper     The Lottery Ticket Hypothesis (1803.03635), Figure 8, section 4 and appendix I
Command   python main.py --config=configs/cifar10_resnet20.py:high
Command   python main.py --config=configs/cifar10_resnet20.py:low
Command   python main.py --config=configs/cifar10_resnet20.py:warmup
Command   python main.py --config=configs/cifar10_resnet20.py:warmup_layerwise
Cost      For a GPU: 75 trainings, 288 million images; 118 h at the 677 images/s of docs/performance.md
Expected  At 0.1 no winning tickets, at 0.01 the best one has 89.5 % (41.7 to 21.9 % of the weights), with warm-up to
          0.03 it has 90.5 % (27.1 %) and tickets win down to 11.8 %; layer-wise they are slightly larger (section 4).
"""

from tf_lottery import config as base

# The learning rate and the steps that it takes to rise to it.
RATES = {'high': (0.1, 0), 'low': (0.01, 0), 'warmup': (0.03, 20_000)}
ARMS = (*RATES, *(f'{rate}_layerwise' for rate in RATES))


def get_config(arm='warmup'):
    base.check_arm('configs/cifar10_resnet20.py', arm, ARMS)
    rate = arm.removesuffix('_layerwise')
    config = base.defaults()
    config.name = f'cifar10_resnet20_{arm}'
    config.data.name = 'cifar10'
    config.data.flip = True
    config.data.crop_pixels = 4
    config.model.name = 'resnet20'
    config.training.length = '30000it'
    config.training.batch_size = 128
    config.training.optimizer = 'momentum'
    config.training.learning_rate = RATES[rate][0]
    config.training.warmup = f'{RATES[rate][1]}it'
    config.training.schedule = 'steps'
    config.training.milestones = ('20000it', '25000it')
    config.training.weight_decay = 1e-4
    # Neither the shortcuts' convolutions nor the output layer are pruned.
    config.pruning.projection_fraction = 0.0
    config.pruning.output_fraction = 0.0
    config.pruning.scope = 'layerwise' if arm.endswith('layerwise') else 'global'
    config.pruning.levels = 16
    config.branches = ('ticket', 'random_reinit')
    config.branch_levels = (2, 4, 6, 8, 10, 12, 14, 16)
    config.replicates = 3
    return config
