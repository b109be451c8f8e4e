"""What is in a ticket: its weights before and after training, how they move, and how it connects the units.

Source: 1803.03635, appendix F. Everything here is pooled over the replicates, as the histograms there are, and read
from the files of the levels that are asked about, one replicate after the other.
"""

import numpy as np
import pandas as pd

from tf_lottery.experiment.runs import Run, read_mask
from tf_lottery.runtime import storage

# How much of a sample lies beyond either end of its histogram: a few far weights would squeeze all the others.
_BEYOND = 0.001


def readable(frame):
    """The rows whose weights can be studied: that have not diverged and whose files are all there.

    Args:
      frame: rows of `results.load_results`.
    """
    there = storage.all_at_once(
        lambda run: not run.diverged and all(map(storage.exists, (
            _initial_path(run), _path(run, 'mask.npz'), _path(run, 'weights.npz')))), list(frame.itertuples()))
    return frame[np.array(there, bool)]


def matrices(run):
    """The names of the prunable weights of a run, a row of `readable`, that have more than one dimension."""
    return {name for name, array in read_mask(_path(run)).items() if array.ndim > 1}


def _initial_path(run):
    return storage.join(run.workdir, Run(run.replicate, 0, 'ticket').initial_weights)


def _path(run, *names):
    return storage.join(run.workdir, run.run, *names)


def _replicates(frame):
    """Yields, replicate by replicate, W_0 and the rows as named tuples."""
    for _, rows in frame.groupby(['workdir', 'replicate']):
        runs = list(rows.itertuples())
        yield storage.read_arrays(_initial_path(runs[0])), runs


def _pooled(samples):
    """{layer: {level: list of arrays [n]}} with one array per level, in the order of the levels."""
    return {layer: {level: np.concatenate(levels[level]) for level in sorted(levels)}
            for layer, levels in samples.items()}


def survivors(frame, layers):
    """The weights that the masks keep, before and after they were trained (appendices F.1 and F.2).

    Args:
      frame: rows of `readable`, of one branch and rewinding step; their levels are the levels that are read.
      layers: names of prunable weights.

    Returns:
      (initial, trained): each a dict from layer to a dict from level to a float32 array [n], n survivors of all
      replicates in one order: W_0, and W_T of the level's own training, which started from W_k.
    """
    initial, trained = ({layer: {} for layer in layers} for _ in range(2))
    for start, runs in _replicates(frame):
        for run in runs:
            # Written without the zeros of the mask, in the order of the kept weights.
            mask, end = read_mask(_path(run)), storage.read_arrays(_path(run, 'weights.npz'))
            for layer in layers:
                initial[layer].setdefault(run.level, []).append(start[layer][mask[layer]])
                trained[layer].setdefault(run.level, []).append(end[layer])
    return _pooled(initial), _pooled(trained)


def movement(frame, layers):
    """How training moved the weights of the dense network, the ticket's and the others (appendix F.5).

    The dense network was trained before the mask was known; but a mask of the largest final magnitudes favours weights
    that grew, as the authors remark.

    Args:
      frame: rows of `readable`, of one branch, level and rewinding step, whose masks are the tickets.
      layers: names of prunable weights.

    Returns:
      dict from layer to a DataFrame with a row per weight of all replicates: `kept`, whether it is in the ticket; and
      with its values theta_0 = W_0 and theta_T = W_T of the dense network, float32: `distance`, |theta_T - theta_0|
      (Figure 19); `growth`, |theta_T| - |theta_0| (Figure 20); `outward`, sign(theta_0) * (theta_T - theta_0), which
      is positive for a move away from zero and negative for one towards zero or past it.
    """
    moved = {layer: [] for layer in layers}
    for start, runs in _replicates(frame):
        for run in runs:
            dense = storage.join(run.workdir, Run(run.replicate, 0, 'ticket').folder)
            mask, end = read_mask(_path(run)), storage.read_arrays(storage.join(dense, 'weights.npz'))
            for layer in layers:
                before, after = start[layer].ravel(), end[layer]
                moved[layer].append(pd.DataFrame({
                    'kept': mask[layer].ravel(), 'distance': np.abs(after - before),
                    'growth': np.abs(after) - np.abs(before), 'outward': np.sign(before) * (after - before)}))
    return {layer: pd.concat(parts, ignore_index=True) for layer, parts in moved.items()}


def connectivity(frame, layers):
    """How much of its connections each unit keeps (appendix F.6, Figures 21 to 24).

    Args:
      frame: rows of `readable`, of one branch and rewinding step; their levels are the levels that are read.
      layers: names of prunable weights.

    Returns:
      (incoming, outgoing): each a dict from layer to a dict from level to a float64 array [units of all replicates]:
      the fractions that `incoming_fractions` and `outgoing_fractions` define.
    """
    incoming, outgoing = ({layer: {} for layer in layers} for _ in range(2))
    for run in frame.itertuples():
        mask = read_mask(_path(run))
        for layer in layers:
            incoming[layer].setdefault(run.level, []).append(incoming_fractions(mask[layer]))
            outgoing[layer].setdefault(run.level, []).append(outgoing_fractions(mask[layer]))
    return _pooled(incoming), _pooled(outgoing)


def incoming_fractions(kept):
    """For each output unit, or channel of a convolution, the fraction of its incoming weights that survive.

    Args:
      kept: bool array [inputs, outputs], or [..., inputs, outputs] whose leading axes are kernel positions, which are
        summed over: a channel of a 3x3 convolution has 9 * inputs incoming weights.

    Returns:
      float64 array [outputs].
    """
    return kept.reshape(-1, kept.shape[-1]).mean(axis=0)


def outgoing_fractions(kept):
    """For each input unit, or channel, the fraction of its outgoing weights that survive.

    Args:
      kept: bool array [..., inputs, outputs], as in `incoming_fractions`.

    Returns:
      float64 array [inputs].
    """
    return kept.mean(axis=(*range(kept.ndim - 2), -1))


def histograms(samples, bins=40):
    """Histograms of several samples over the same bins, each of area 1.

    Args:
      samples: mapping from key to array [n], n > 0; each may have its own n.
      bins: int, the number of bins of equal width.

    Returns:
      (edges, heights): float array [bins + 1], which spans the central 99.8 % of every sample, and a dict from key to
      float array [bins], each sample's density among those of its values that lie between the edges.
    """
    low = min(np.quantile(sample, _BEYOND, method='lower') for sample in samples.values())
    high = max(np.quantile(sample, 1 - _BEYOND, method='higher') for sample in samples.values())
    edges = np.histogram_bin_edges([], bins, (low, high))
    return edges, {key: np.histogram(sample, edges, density=True)[0] for key, sample in samples.items()}
