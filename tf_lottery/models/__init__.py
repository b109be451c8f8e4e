"""The networks of the papers, one file per architecture.

Each file has `prunable_shapes(input_shape, classes)`, which needs no TensorFlow (so that a plan is instant), and
`build(input_shape, classes, seed, precision)`. A new network is a file and a line here.
"""

import difflib
import importlib

from tf_lottery.errors import UsageError

MODELS = {
    'lenet_300_100': 'tf_lottery.models.lenet',
}

# The layer groups that may be pruned at fractions of their own (1803.03635, Figure 2).
GROUPS = ('conv', 'dense', 'output')


def find(name):
    """Returns the module of a network.

    Raises:
      UsageError: an unknown name.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, 1, cutoff=0.4)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise UsageError(f'unknown model {name!r}: choose one of {", ".join(MODELS)}.{hint}')
    return importlib.import_module(MODELS[name])
