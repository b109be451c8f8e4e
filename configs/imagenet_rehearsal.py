"""The ImageNet experiment at small size: train, prune 70 %, rewind, retrain, controls, report, export.

Paper     none: it shows that the whole path of configs/imagenet_oneshot.py works, before a machine is paid for
Command   python main.py --config=configs/imagenet_rehearsal.py
Cost      Four trainings of 48 steps on a sample of 441 images: 4 minutes on 2 CPU cores, 6 as two workers;
          --config.data.train and --config.data.test say how many images there are in another sample
Expected  A report of the same shape. Its accuracies mean nothing
"""

from tf_lottery import config as base
from tf_lottery.configs import imagenet_oneshot

ARMS = tuple(imagenet_oneshot.ARMS)


def get_config(arm='resnet50'):
    base.check_arm('configs/imagenet_rehearsal.py', arm, ARMS)
    config = imagenet_oneshot.get_config(arm)
    config.name = f'imagenet_rehearsal_{arm}'
    config.data.image_size = 107 if arm == 'inception_v3' else 32
    config.data.train = 441
    config.data.test = 53
    config.data.validation = 41
    training = config.training
    training.batch_size = 32
    training.scale_from = None
    # Of a few dozen steps: rates that the real length would not have.
    training.length = '4ep'
    training.warmup = '1ep' if arm == 'resnet50' else '0it'
    training.milestones = ('2ep', '3ep') if arm == 'resnet50' else ()
    config.pruning.rewind_to = '1ep'
    config.replicates = 1
    return config
