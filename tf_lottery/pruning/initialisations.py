"""Initialisations made from the one that won, and what becomes of the weights that a mask prunes.

Weights are drawn anew among themselves, get noise, signs or one magnitude; or pruned ones are frozen.
"""

import numpy as np


def resampled(weights, mask, seed, keep_signs=False):
    """Draws every surviving weight anew, with replacement, from D_m: the survivors of its own layer.

    Source: 1803.03635, appendix F.3, where `weights` are theta_0; its sign-keeping variant is the experiment
    'reuse_sign' of the authors' code (google-research/lottery-ticket-hypothesis).

    Args:
      weights: mapping from name to array.
      mask: Mask; variables that it does not name, such as biases, and weights that it prunes stay as they are.
      seed: int.
      keep_signs: whether each weight is drawn from those survivors of its layer that have its own sign.

    Returns:
      dict from name to array, of the shapes and dtypes of `weights`.
    """
    return _drawn(weights, mask, seed, keep_signs, replace=True)


def reshuffled(weights, mask, seed, keep_signs=False):
    """Permutes the surviving weights of each layer: `resampled`, but without replacement.

    Source: 1905.01067, section 3, "reshuffle", with and without "keep sign".
    """
    return _drawn(weights, mask, seed, keep_signs, replace=False)


def _drawn(weights, mask, seed, keep_signs, replace):
    rng = np.random.default_rng(seed)
    drawn = dict(weights)
    for name, kept in mask.items():
        survivors = weights[name][kept]
        groups = np.sign(survivors) if keep_signs else np.zeros_like(survivors)
        new = np.empty_like(survivors)
        for group in np.unique(groups):
            members = groups == group
            new[members] = rng.choice(survivors[members], np.count_nonzero(members), replace)
        drawn[name] = weights[name].copy()
        drawn[name][kept] = new
    return drawn


def noisy(weights, initial, names, scale, seed):
    """Adds Gaussian noise to each layer, as a multiple of the standard deviation that it was initialised with.

    Source: 1803.03635, appendix F.7: theta_0 + N(0, (scale * sigma_layer)^2).

    Args:
      weights: mapping from name to array.
      initial: mapping from name to array, W_0, whose standard deviation is sigma_layer.
      names: the weights that get noise, each a layer.
      scale: float, in units of sigma_layer.
      seed: int.

    Returns:
      dict from name to array, of the shapes and dtypes of `weights`.
    """
    rng = np.random.default_rng(seed)
    noised = dict(weights)
    for name in names:
        array = weights[name]
        noise = rng.normal(scale=scale * initial[name].std(), size=array.shape)
        noised[name] = array + noise.astype(array.dtype)
    return noised


def kaiming(array):
    """sqrt(2 / n_in), the standard deviation of He et al. (1502.01852), n_in all but the last number of the shape."""
    return np.sqrt(2 / np.prod(array.shape[:-1]))


def kaiming_constant(weights, names):
    """Makes all weights of a layer sqrt(2 / n_in), each with its own sign.

    Args:
      weights: mapping from name to array.
      names: the weights that become constants, each a layer.

    Returns:
      dict from name to array, of the shapes and dtypes of `weights`.

    Source: 1911.13299, section 3.
    """
    return {**weights, **{name: np.copysign(kaiming(weights[name]), weights[name]).astype(weights[name].dtype)
                          for name in names}}


def kaiming_normal(weights, names, seed):
    """Draws each layer from N(0, 2 / n_in); arguments and what it returns as of `kaiming_constant`."""
    rng = np.random.default_rng(seed)
    return {**weights, **{name: rng.normal(scale=kaiming(weights[name]), size=weights[name].shape).astype(
        weights[name].dtype) for name in names}}


def scaled(weights, factors):
    """Multiplies some weights by a number each; `factors` is a mapping from their names to float."""
    return {**weights, **{name: weights[name] * weights[name].dtype.type(factor) for name, factor in factors.items()}}


def constant(initial, names, seed):
    """Gives all weights of a layer one magnitude, its standard deviation in W_0, and random signs.

    Source: 1905.01067, section 3, "constant": +sigma or -sigma of the layer's own initial weights.

    Args:
      initial: mapping from name to array, W_0.
      names: the weights that become constants, each a layer.
      seed: int.

    Returns:
      dict from name to array, of the shapes and dtypes of `initial`.
    """
    rng = np.random.default_rng(seed)
    constants = dict(initial)
    for name in names:
        array = initial[name]
        constants[name] = (array.std() * rng.choice([-1, 1], array.shape)).astype(array.dtype)
    return constants


def with_signs(weights, signs, names):
    """Gives weights the signs of others: |w| sign(w'). Where w' is 0 it has no sign to give, and w keeps its own.

    Source: 1905.01067, section 3, "keep sign".

    Args:
      weights: mapping from name to array.
      signs: mapping from name to array, the w'.
      names: the weights that get signs.

    Returns:
      dict from name to array, of the shapes and dtypes of `weights`.
    """
    return {**weights, **{name: np.where(signs[name] == 0, weights[name], np.copysign(weights[name], signs[name]))
                          for name in names}}


def frozen_by_direction(trained, initial, names):
    """What pruned weights are frozen at: 0 where training moved a weight toward zero, |w_T| < |w_0|, else w_0.

    What is frozen already stays: 0 is nearer to zero than w_0, and w_0 is as far as itself.

    Source: 1905.01067, section 4, where it is the best of the "mask-0 actions".

    Args:
      trained, initial: mappings from name to array, W_T and W_0.
      names: the prunable weights.

    Returns:
      dict from name to array.
    """
    return {name: np.where(np.abs(trained[name]) < np.abs(initial[name]), np.zeros_like(initial[name]), initial[name])
            for name in names}
