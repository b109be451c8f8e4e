"""Initialisations made from the one that won: its weights drawn anew among themselves, or with noise on them."""

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
    rng = np.random.default_rng(seed)
    drawn = dict(weights)
    for name, kept in mask.items():
        survivors = weights[name][kept]
        groups = np.sign(survivors) if keep_signs else np.zeros_like(survivors)
        new = np.empty_like(survivors)
        for group in np.unique(groups):
            members = groups == group
            new[members] = rng.choice(survivors[members], np.count_nonzero(members))
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


def deviation(array):
    """The standard deviation of a layer's weights."""
    return array.std()


def kaiming(array):
    """sqrt(2 / n_in), the standard deviation of He et al. (1502.01852), n_in all but the last number of the shape."""
    return np.sqrt(2 / np.prod(array.shape[:-1]))


def signed_constants(weights, names, size):
    """Makes each layer's weights one number, each with its own sign; a weight of 0 counts as above it.

    Args:
      weights: mapping from name to array.
      names: the weights that change, each a layer.
      size: function from a layer's array to that number, float above 0.

    Returns:
      dict from name to array, of the shapes and dtypes of `weights`.

    Source: 1905.01067, section 3; 1911.13299, section 3.
    """
    return {**weights, **{name: np.where(weights[name] < 0, -1, 1).astype(weights[name].dtype)
                          * weights[name].dtype.type(size(weights[name])) for name in names}}


def kaiming_normal(weights, names, seed):
    """Draws each layer from N(0, 2 / n_in); arguments and what it returns as of `signed_constants`."""
    rng = np.random.default_rng(seed)
    return {**weights, **{name: rng.normal(scale=kaiming(weights[name]), size=weights[name].shape).astype(
        weights[name].dtype) for name in names}}


def scaled(weights, factors):
    """Multiplies some weights by a number each; `factors` is a mapping from their names to float."""
    return {**weights, **{name: weights[name] * weights[name].dtype.type(factor) for name, factor in factors.items()}}
