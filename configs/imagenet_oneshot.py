"""ResNet-50, Inception-v3 and SqueezeNet on ImageNet, pruned once and rewound to an early epoch.

Paper     Stabilizing the Lottery Ticket Hypothesis (1903.01611), Figures 6 and 7
Command   python main.py --config=configs/imagenet_oneshot.py:resnet50 --strategy=tpu --tpu=local
Command   python main.py --config=configs/imagenet_oneshot.py:inception_v3 --strategy=tpu --tpu=local
Command   python main.py --config=configs/imagenet_oneshot.py:squeezenet --strategy=tpu --tpu=local
Cost      For a TPU: 20 trainings an arm; 2.24 billion images (ResNet-50), 4.27 (Inception-v3), 3.69 (SqueezeNet)
Expected  Full accuracy with 70, 70 and 50 % of the weights pruned: 76.1 +- 0.1, 78.1 +- 0.1 and 54.8 +- 0.6 %. Rewound
          to epoch 0 (--config.pruning.rewind_to=0ep) and reinitialised, tickets are no better than random masks.

The networks, their weight decay and their label smoothing are those of the TPU implementations that the paper took
(tensorflow/tpu), the lengths, learning rates and optimizers those of its Figure 6. That code trains SqueezeNet as the
figure says Inception-v3 was trained, by momentum from 0.03 to 0.005, and Inception-v3 by RMSprop; the figure may have
the two the wrong way round. How weights compete for survival is not said; here it is over the whole network.
"""

from tf_lottery import config as base

# Network: pixels, epochs, the share that is pruned, and the epoch that it is rewound to.
ARMS = {'resnet50': (224, 90, 0.7, 4), 'inception_v3': (299, 171, 0.7, 6), 'squeezenet': (224, 150, 0.5, 10)}


def get_config(arm='resnet50'):
    base.check_arm('configs/imagenet_oneshot.py', arm, ARMS)
    pixels, epochs, share, rewind_to = ARMS[arm]
    config = base.defaults()
    config.name = f'imagenet_oneshot_{arm}'
    config.data.name = 'imagenet2012'
    config.data.image_size = pixels
    config.model.name = arm
    training = config.training
    training.length = f'{epochs}ep'
    training.batch_size = 1024
    training.precision = 'mixed_bfloat16'
    training.evaluate_every = '1ep'
    training.checkpoint_every = '1ep'
    if arm == 'resnet50':
        training.optimizer = 'momentum'
        # 0.4 at a batch of 1,024.
        training.learning_rate = 0.1
        training.scale_from = 256
        training.warmup = '5ep'
        training.schedule = 'steps'
        training.milestones = ('30ep', '60ep', '80ep')
        training.weight_decay = 1e-4
    elif arm == 'inception_v3':
        training.optimizer = 'momentum'
        training.learning_rate = 0.03
        training.schedule = 'linear'
        training.final_learning_rate = 0.005
        training.weight_decay = 4e-5
        training.label_smoothing = 0.1
    else:
        training.optimizer = 'rmsprop'
        training.epsilon = 1.0
        training.learning_rate = 0.66
        training.schedule = 'exponential'
        training.final_learning_rate = 6.6e-5
    config.pruning.fraction = share
    config.pruning.scope = 'global'
    config.pruning.levels = 1
    config.pruning.rewind_to = f'{rewind_to}ep'
    config.branches = ('ticket', 'random_reinit', 'random_mask')
    config.replicates = 5
    return config
