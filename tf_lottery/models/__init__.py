"""The networks of the papers, one file per architecture, and the user's own (`own`).

Each file of a paper's network has `prunable_shapes(input_shape, classes)`, which needs no TensorFlow (so that a plan is
instant), and `build(input_shape, classes, seed, precision)`; where it holds several networks, both take what tells them
apart. A new network is a file and a line here.
"""

import dataclasses
import difflib
import importlib

from tf_lottery.errors import UsageError, shown


@dataclasses.dataclass(frozen=True)
class Network:
    """A network by where it is written.

    Attributes:
      file: str, the module below `tf_lottery.models`.
      options: dict, the keyword arguments that tell the network from others in the same file.
    """

    file: str
    options: dict = dataclasses.field(default_factory=dict)

    @property
    def _module(self):
        return importlib.import_module(f'tf_lottery.models.{self.file}')

    def prunable_shapes(self, input_shape, classes):
        """What can be pruned, known without TensorFlow.

        Args:
          input_shape: (height, width, channels).
          classes: int.

        Returns:
          dict {name of the weight: (one of GROUPS, shape, places)} in the order of the layers; names are those of
          `wrapper.prunable_variables`, and each weight is multiplied once per place of an image.

        Raises:
          UsageError: the images are too small for the network.
        """
        return self._module.prunable_shapes(input_shape, classes, **self.options)

    def build(self, input_shape, classes, seed, precision='float32'):
        """Builds the network with its initial weights.

        Args:
          input_shape: (height, width, channels) of images in [0, 1].
          classes: int.
          seed: int, the initialisation seed.
          precision: the Keras dtype policy of the layers; logits are float32 under each.

        Returns:
          A `tf_keras` model from images float [n, height, width, channels] to logits float32 [n, classes].
        """
        return self._module.build(input_shape, classes, seed, precision, **self.options)


NETWORKS = {
    'lenet_300_100': Network('lenet'),
    'conv2': Network('conv', {'convolutions': 2}),
    'conv4': Network('conv', {'convolutions': 4}),
    'conv6': Network('conv', {'convolutions': 6}),
    'conv8': Network('conv', {'convolutions': 8}),
    'conv2_dropout': Network('conv', {'convolutions': 2, 'dropout': True}),
    'conv4_dropout': Network('conv', {'convolutions': 4, 'dropout': True}),
    'conv6_dropout': Network('conv', {'convolutions': 6, 'dropout': True}),
    'vgg19': Network('vgg'),
    'resnet20': Network('resnet'),
    'resnet50': Network('resnet50'),
    'inception_v3': Network('inception'),
    'squeezenet': Network('squeezenet'),
}

# The layer groups that may be pruned at fractions of their own (1803.03635, Figure 2).
GROUPS = ('conv', 'projection', 'dense', 'output')


def prunable_shapes(name, input_shape, classes, variables):
    """What can be pruned of the network of a name, as `Network.prunable_shapes` says, or of one of the user's own.

    Args:
      variables: 'kernels', or 'all' for whatever is trained, which takes building the network in another process.
    """
    if variables == 'all':
        from tf_lottery.models import own
        return own.shapes_elsewhere(name, tuple(input_shape), classes, variables)
    return find(name).prunable_shapes(input_shape, classes)


def find(name):
    """Returns the Network of a name, or the `own.OwnNetwork` of a reference such as 'mynets.py:build'.

    Raises:
      UsageError: an unknown name. What is wrong with a reference is told by its `prunable_shapes`.
    """
    if ':' in name:
        from tf_lottery.models.own import OwnNetwork
        return OwnNetwork(name)
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, 1, cutoff=0.4)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise UsageError(f'unknown model {shown(name)}: choose one of {", ".join(NETWORKS)}, or give a function of '
                         f'your own as FILE.py:NAME.{hint}')
    return NETWORKS[name]
