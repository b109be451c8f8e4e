"""Linear mode connectivity: is there a barrier between two copies of a network that saw different data orders?"""

import numpy as np
import pandas as pd

from tf_lottery.branches import BRANCHES
from tf_lottery.errors import MissingFileError
from tf_lottery.reporting import results
from tf_lottery.runtime import storage


def verdicts(measure):
    """The verdicts on a network that a Measure allows, of 'stable' and 'matching': list of str."""
    return [name for name in ('stable', 'matching') if getattr(measure, name) is not None]


def instability(errors):
    """float, the barrier: the highest error on a line, less the mean of the errors at its two ends.

    Args:
      errors: the errors at places on the line from one end to the other.

    Source: 1912.05671, section 2.
    """
    return float(np.max(errors) - (errors[0] + errors[-1]) / 2)


def lines(frame):
    """Reads the lines that have been measured.

    Args:
      frame: rows of `results.load_results`, of one experiment.

    Returns:
      DataFrame with a row per point: `branch` of the subnetwork, `level`, `density`, `rewind_step`, `replicate`,
      `copy`, `examples` (of the training set), `position`; `train_error` and `test_error`, there, `Measure.error`
      of `Measures.on_the_way`.
    """
    names = ['level', 'density', 'rewind_step', 'replicate', 'copy']
    copies = frame[frame['branch'].map(lambda branch: BRANCHES[branch].reorders is not None)].to_dict('records')
    read = storage.all_at_once(_line, copies)
    measured = [pd.DataFrame({'branch': BRANCHES[run['branch']].reorders, **{name: run[name] for name in names},
                              **line})
                for run, line in zip(copies, read, strict=True) if line]
    columns = ['branch', *names, 'examples', 'position', 'train_error', 'test_error']
    return pd.concat(measured, ignore_index=True)[columns] if measured else pd.DataFrame(columns=columns)


def _line(run):
    """What was measured on the line to a run; None where that has not been done."""
    try:
        return storage.read_json(storage.join(run['workdir'], run['run'], 'connectivity.json'))
    except MissingFileError:
        return None


def table(frame, lines):
    """Says of each network whether it is stable and matching.

    Args:
      frame: rows of `results.load_results`, of one experiment.
      lines: what `lines` returned for it.

    Returns:
      DataFrame with a row per branch, level and rewinding step: `density`, `n` (lines), mean, min and max over lines of
      the instability in training and in test error; under the name of `Measures.on_the_way`, its mean on the test set
      at the end of the network's runs; and those of `verdicts`: `stable` (mean instability in test error below
      `Measure.stable`) and `matching` (at most `Measure.matching` worse than the dense networks of the same replicates;
      both as means over the runs that have one).
    """
    measures = results.judged_by(frame)
    lead, final = measures.on_the_way, measures.at_end(measures.on_the_way)
    by_step = {step: results.beside_dense(runs) for step, runs in results.by_rewinding_step(frame).items()}
    rows = []
    for (branch, level, rewind_step), place in lines.groupby(['branch', 'level', 'rewind_step']):
        here = by_step[rewind_step]
        here = here[(here['branch'].map(_subnetwork) == branch) & (here['level'] == level)]
        pairs = here[here[f'dense_{final}'].notna()]
        row = {'branch': branch, 'level': level, 'density': place['density'].mean(), 'rewind_step': rewind_step}
        for error in ('train', 'test'):
            barriers = place.groupby(['replicate', 'copy'])[f'{error}_error'].agg(
                lambda errors: instability(errors.to_numpy()))
            row.update({'n': len(barriers), f'{error}_instability_mean': barriers.mean(),
                        f'{error}_instability_min': barriers.min(), f'{error}_instability_max': barriers.max()})
        row[lead.name] = here[final].mean()
        if lead.stable is not None:
            row['stable'] = row['test_instability_mean'] < lead.stable
        if lead.matching is not None:
            row['matching'] = results.is_no_worse(
                lead, pairs[final].mean(), pairs[f'dense_{final}'].mean(), lead.matching)
        rows.append(row)
    return pd.DataFrame(rows)


def _subnetwork(branch):
    """The branch whose subnetwork a branch trains, maybe on another data order."""
    return BRANCHES[branch].reorders or branch
