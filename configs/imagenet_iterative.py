"""ResNet-50 on ImageNet, pruned iteratively to a sixth of its weights and rewound to epoch 6.

Paper     Stabilizing the Lottery Ticket Hypothesis (1903.01611), Figure 8 and section 5
Command   python main.py --config=configs/imagenet_iterative.py --strategy=tpu --tpu=local
Cost      For a TPU: 65 trainings, 7.05 billion images
Expected  Tickets match the dense network, 76.1 %, down to 20 % of the weights
"""

from tf_lottery.configs import imagenet_oneshot


def get_config():
    config = imagenet_oneshot.get_config('resnet50')
    config.name = 'imagenet_iterative'
    config.pruning.fraction = 0.2
    config.pruning.levels = 8
    config.pruning.rewind_to = '6ep'
    config.branch_levels = (4, 8)
    return config
