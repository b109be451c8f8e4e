"""Weight rewinding, learning-rate rewinding and fine-tuning at several retraining lengths, on ResNet-20.

Paper     Comparing Rewinding and Fine-tuning in Neural Network Pruning (2003.02389), Figures 2 and 3
Command   python main.py --config=configs/cifar10_retraining.py
Cost      For a GPU: 453 trainings, 1,812 million images
Expected  Medians at the best retraining length, fine-tuning / weight rewinding / learning-rate rewinding: 91.34 / 91.94
          / 92.01 % at 51.2 % of the weights, 90.35 / 91.31 / 91.49 % at 16.8 %, 89.78 / 90.91 / 90.76 % at 10.7 %.
"""

from tf_lottery.configs import cifar10_resnet20


def get_config():
    config = cifar10_resnet20.get_config('high')
    config.name = 'cifar10_retraining'
    config.training.length = '182ep'
    config.training.milestones = ('91ep', '136ep')
    config.training.weight_decay = 2e-4
    # Retraining for t epochs is rewinding to epoch 182 - t: for 182, 130, 90, 30 and 10 epochs.
    config.pruning.rewind_to = '0ep,52ep,92ep,152ep,172ep'
    config.pruning.levels = 10
    config.branches = ('ticket', 'lr_rewinding', 'fine_tuning')
    config.branch_levels = ()
    return config
