"""Random networks that were pruned until they were near a trained one: how near, by their width."""

import pandas as pd

from tf_lottery.experiment import runs
from tf_lottery.runtime import storage

# What a network is judged by, where its outputs tell it: the pruned random one, and the trained one.
MEASURED = ('test', 'target_test')


def constructions(frame):
    """Reads what has been measured of them.

    Args:
      frame: rows of `results.load_results`, of one experiment.

    Returns:
      DataFrame with a row per replicate, width, way and target: `replicate`, `examples` (of the test set), what
      `random_network.approximate` says, and those of MEASURED, as the leading measure has them, for the target
      'network'; NaN for others, and where outputs do not tell it.
    """
    dense = frame[(frame['branch'] == 'ticket') & (frame['level'] == 0)].to_dict('records')
    read = storage.all_at_once(
        lambda run: runs.read_constructions(run['workdir'], runs.Run(run['replicate'], 0, 'ticket')), dense)
    built = pd.DataFrame([{'replicate': run['replicate'], **dict.fromkeys(MEASURED), **row}
                          for run, rows in zip(dense, read, strict=True) for row in rows])
    return built.astype(dict.fromkeys(MEASURED, float)) if len(built) else built


def table(built):
    """Means over replicates.

    Args:
      built: what `constructions` returned, with a row at least.

    Returns:
      DataFrame with a row per width, way and target, in this order, of columns as in `built`, and `density`, the share
      of the random network's weights that is kept.
    """
    means = built.drop(columns='replicate').groupby(['width', 'way', 'target'], sort=False).mean().reset_index()
    means['density'] = means['kept'] / means['size']
    return means.sort_values('width', kind='stable', ignore_index=True)
