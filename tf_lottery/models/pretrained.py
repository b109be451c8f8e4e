"""Weights of a Keras model that was trained before, as W_0 of a network: tickets of pretrained networks.

Source: The Lottery Ticket Hypothesis for Pre-trained BERT Networks (2007.12223) and The Lottery Tickets Hypothesis for
Supervised and Self-supervised Pre-training in Computer Vision Models (2012.06908), which prune such networks.
"""

import os
import pathlib
import tempfile

import tf_keras
from absl import logging

from tf_lottery.errors import UsageError, reason
from tf_lottery.pruning import wrapper
from tf_lottery.runtime import storage

# The key that names the file.
_KEY = 'model.weights'


def assign(network, path):
    """Gives a network the weights of a file, those that have its names and shapes; others stay as they are.

    Args:
      network: a dense `tf_keras` model.
      path: str, what `save` of a `tf_keras` model wrote (a .keras or .h5 file, or a SavedModel's folder), or its
        `save_weights` (a .weights.h5 file), which has to be of this very network.

    Raises:
      UsageError: it holds something else, or weights of another network.
    """
    saved, own = _read(network, path), wrapper.variables(network)
    fitting = [name for name, variable in own.items() if name in saved and saved[name].shape == tuple(variable.shape)]
    if not fitting:
        raise UsageError(f'{_KEY} is {path}, none of whose variables ({", ".join(list(saved)[:3])}, ...) has the name '
                         f'and the shape of one of the network ({", ".join(list(own)[:3])}, ...): give a model with '
                         'layers of the same names.')
    for name in fitting:
        own[name].assign(saved[name])
    others = [name for name in own if name not in fitting]
    if others:
        logging.warning('%s=%s has %s in no such shape: what is drawn for it by the seed stays.', _KEY, path,
                        ', '.join(others))


def _read(network, path):
    """The variables of a file by name: dict of arrays."""
    with tempfile.TemporaryDirectory() as folder:
        local = path
        if storage.is_remote(path) and path.endswith(('.keras', '.h5')):
            local = os.path.join(folder, pathlib.PurePosixPath(path).name)
            storage.write_bytes(local, storage.read_bytes(path))
        try:
            if local.endswith('.weights.h5'):
                copy = tf_keras.models.clone_model(network)
                copy.load_weights(local)
                return wrapper.get_weights(copy)
            return wrapper.get_weights(tf_keras.models.load_model(local, compile=False))
        # Keras has an error of another type for each way in which a file can be wrong.
        except Exception as error:
            raise UsageError(f'{_KEY} is {path}, which Keras cannot read as weights of this network ({reason(error)}): '
                             'give what save or save_weights of a tf_keras model wrote.') from error
