"""Stability: how far two trainings of a subnetwork, or of it and its full network, end apart."""

import itertools

import numpy as np
import pandas as pd

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import results
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, unpack

# The subnetworks that the papers compare.
SUBNETWORKS = ('ticket', 'random_mask')


def distance(first, second, mask):
    """float, the L2 distance between two sets of weights where a mask keeps them: ||m * W - m * W'||_2.

    Args:
      first, second: mappings from name to array.
      mask: Mask; only the weights it names count, so neither biases nor batch norm.

    Source: 1903.01611, section 3.
    """
    return float(np.sqrt(sum(
        np.sum(np.square(first[name][kept] - second[name][kept], dtype=np.float64)) for name, kept in mask.items())))


def angle(first, second, mask):
    """float, the angle in degrees between m * W and m * W'; NaN where one of them is zero.

    Args:
      first, second, mask: as in `distance`.

    Source: 1903.01611, Figure 10.
    """
    product = squares = other_squares = 0.0
    for name, kept in mask.items():
        one, other = first[name][kept].astype(np.float64), second[name][kept].astype(np.float64)
        product += one @ other
        squares += one @ one
        other_squares += other @ other
    length = np.sqrt(squares) * np.sqrt(other_squares)
    return float(np.degrees(np.arccos(np.clip(product / length, -1, 1)))) if length else float('nan')


def samples(workdir, frame):
    """Measures every pair of finished runs that says something about stability.

    To pruning: the full network and the subnetwork, both trained on the replicate's own data order. To data order: two
    copies of the subnetwork, each on an order of its own.

    Args:
      workdir: the experiment's folder.
      frame: its rows of `results.load_results`.

    Returns:
      DataFrame with one row per pair: `branch` of the subnetwork, `level`, `density`, `rewind_step`, `replicate`,
      `stability` ('pruning' or 'data order'), `l2` and `angle` in degrees.
    """
    rows = []
    finished = frame[~frame['diverged'] & frame['branch'].map(_subnetwork).notna()]
    # Weights may have been deleted to save room.
    there = storage.all_at_once(
        lambda run: storage.exists(storage.join(workdir, run, 'weights.npz')), finished['run'])
    finished = finished[np.array(there, bool)]
    controlled = {(run['level'], run['rewind_step']) for run in finished.to_dict('records')
                  if run['branch'] != 'ticket'}
    dense = {run['replicate']: run for run in finished.to_dict('records')
             if run['level'] == 0 and run['branch'] == 'ticket'}
    for replicate, group in finished.groupby('replicate'):
        full = _trained(workdir, [dense[replicate]])[0][-1] if replicate in dense and controlled else None
        for (level, rewind_step), place in group.groupby(['level', 'rewind_step']):
            # A ticket alone has nothing to be compared with, and reading all of them would take minutes.
            if (level, rewind_step) not in controlled:
                continue
            those = place.to_dict('records')
            if level == 0 and replicate in dense and all(run['branch'] != 'ticket' for run in those):
                those.append(dense[replicate])
            trained = _trained(workdir, those)
            for subnetwork in sorted({_subnetwork(run['branch']) for run in those}):
                copies = [one for one in trained if _subnetwork(one[0]['branch']) == subnetwork]
                rows += [{'branch': subnetwork, 'level': level, 'density': copies[0][0]['density'],
                          'rewind_step': rewind_step, 'replicate': replicate, **pair}
                         for pair in _pairs(copies, full if level else None)]
    return pd.DataFrame(rows, columns=[
        'branch', 'level', 'density', 'rewind_step', 'replicate', 'stability', 'l2', 'angle'])


def _subnetwork(branch):
    """The subnetwork that a branch trains, if its stability is of interest."""
    subnetwork = BRANCHES[branch].reorders or branch
    return subnetwork if subnetwork in SUBNETWORKS else None


def _trained(workdir, those):
    """Runs with their masks and their trained weights: list of (dict, Mask, dict)."""
    read = iter(storage.all_at_once(storage.read_arrays, [
        storage.join(workdir, run['run'], name) for run in those for name in ('mask.npz', 'weights.npz')]))
    masks_and_weights = [(Mask.from_arrays(mask), weights) for mask, weights in zip(read, read, strict=True)]
    return [(run, mask, unpack(weights, mask)) for run, (mask, weights) in zip(those, masks_and_weights, strict=True)]


def _pairs(copies, full):
    """The pairs among the runs of one subnetwork, each of `_trained`: dicts of `stability`, `l2`, `angle`."""
    for run, mask, weights in copies:
        if full is not None and not BRANCHES[run['branch']].reorders:
            yield {'stability': 'pruning', **_compare(full, weights, mask)}
    for (_, mask, one), (_, _, other) in itertools.combinations(copies, 2):
        yield {'stability': 'data order', **_compare(one, other, mask)}


def _compare(one, other, mask):
    return {'l2': distance(one, other, mask), 'angle': angle(one, other, mask)}


def table(frame, samples):
    """A table in the shape of Figures 2, 3 and 10 of 1903.01611: a row per level and rewinding step.

    Args:
      frame: rows of `results.load_results`, of one experiment.
      samples: what `samples` returned for it.

    Returns:
      DataFrame: `rewind_step`, `level`, `density`; for each of SUBNETWORKS the mean and the standard deviation over
      pairs of `l2` and `angle` under both kinds of stability, and their number; under the leading measure's name, its
      mean and std on the test set at the end, of each subnetwork over all its runs, and of the full network over the
      replicates that these are of.
    """
    rows = []
    measures = results.judged_by(frame)
    name, final = measures.lead.name, measures.at_end()
    frame = frame[~frame['diverged']]
    dense = frame[(frame['level'] == 0) & (frame['branch'] == 'ticket')]
    for (rewind_step, level), place in samples[samples['level'] > 0].groupby(['rewind_step', 'level']):
        here = frame[(frame['level'] == level) & (frame['rewind_step'] == rewind_step)]
        here = here[here['branch'].map(_subnetwork).notna()]
        full = dense[dense['replicate'].isin(here['replicate'])][final]
        row = {'rewind_step': rewind_step, 'level': level, 'density': place['density'].mean(),
               f'{name}_full_mean': full.mean(), f'{name}_full_std': full.std(ddof=0)}
        for subnetwork in SUBNETWORKS:
            own = here[here['branch'].map(_subnetwork) == subnetwork][final]
            row.update({f'{name}_{subnetwork}_mean': own.mean(), f'{name}_{subnetwork}_std': own.std(ddof=0)})
            for kind in ('data order', 'pruning'):
                pairs = place[(place['branch'] == subnetwork) & (place['stability'] == kind)]
                column = f'{kind.replace(" ", "_")}_{subnetwork}'
                for measure in ('l2', 'angle'):
                    row[f'{column}_{measure}_mean'] = pairs[measure].mean()
                    row[f'{column}_{measure}_std'] = pairs[measure].std(ddof=0)
                row[f'{column}_n'] = len(pairs)
        rows.append(row)
    return pd.DataFrame(rows)
