"""What a form cannot hold, in one sentence: the form, the layer and the reason."""

import re
import traceback

import tf_keras

from tf_lottery.errors import UsageError, reason


def of(form, network, why, layer=None, remedy='leave the form out'):
    """UsageError to raise.

    Args:
      form: str, of `forms.FORMS`.
      network: Keras model.
      why: str, the end of a clause.
      layer: the layer that it is about, or None where it is not known.
      remedy: str, what to do.
    """
    what = f'layer {layer.name!r}, a {type(layer).__name__}' if layer is not None else f'model {network.name!r}'
    return UsageError(f'the form {form} cannot hold {what} ({why}): {remedy}.')


def after(error, form, network):
    """UsageError to raise where TensorFlow failed to write a network in a form."""
    found = getattr(error, 'errors', [])
    if not found:
        return of(form, network, f'{type(error).__name__}: {reason(error)}', _on_the_way(error, network))
    # What TFLite's converter knows of the first operation that it cannot convert.
    calls = [call.name for each in found for call in each.location.call]
    operators = sorted({each.operator.name.removeprefix('tf.') for each in found} - {''})
    why = f'TFLite has no {" and no ".join(operators)}' if operators else reason(error)
    return of(form, network, why, layer_in(network, calls))


def layer_in(network, names):
    """The innermost layer of a network that is named in names of operations or tensors, or None."""
    layers = {layer.name: layer for layer in network.submodules if isinstance(layer, tf_keras.layers.Layer)}
    for name in names:
        for part in reversed(re.split(r'[/;@:]', name)):
            if part in layers:
                return layers[part]
    return None


def _on_the_way(error, network):
    """The innermost layer of a network that was at work when an error was raised, or None."""
    layers = {id(layer) for layer in network.submodules if isinstance(layer, tf_keras.layers.Layer)}
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        if id(frame.f_locals.get('self')) in layers:
            return frame.f_locals['self']
    return None
