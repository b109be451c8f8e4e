"""A sparse model whose zeros are held, to be fine-tuned on other data."""

from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper
from tf_lottery.runtime import keras2
from tf_lottery.ticket import Mask


def hold_zeros(model, skip=()):
    """Wraps a sparse model so that its zeros stay zeros, exactly, while the rest is trained on with `model.fit`.

    What is zero now is held, in all weights that TF-MOT prunes: not in biases, normalisation and depthwise kernels. No
    optimizer, momentum, weight decay or number of replicas moves a held weight; no callback is needed. Under a
    strategy, load the model and call this inside `strategy.scope()`.

    Args:
      model: a built Sequential or functional `tf_keras` model with exact zeros, such as an exported one that
        `tf_keras.models.load_model` has read; nested models included.
      skip: names of layers whose zeros are free.

    Returns:
      A new model that still has to be compiled; it shares its variables with `model`, which is trained with it.
      `tfmot.sparsity.keras.strip_pruning` gives plain layers back.

    Raises:
      UsageError: what `prunable` refuses; a model that is wrapped already, or that has no zeros.
    """
    keras2.require_model(model)
    wrapper.require_plain(model)
    held = wrapper.prunable(model, skip)
    weights = wrapper.prunable_variables(held)
    mask = Mask({name: weight.numpy() != 0 for name, (_, weight, _, _) in weights.items()})
    if mask.kept == mask.size:
        raise UsageError(f'none of the {mask.size} prunable weights of model {model.name!r} is zero: prune it first.')
    wrapper.set_mask(held, mask)
    return held
