"""What deleting weights does to the loss, as Optimal Brain Damage predicts it and as it is (LeCun et al. 1990)."""

import pandas as pd

from tf_lottery.errors import MissingFileError
from tf_lottery.runtime import storage

_NUMBERS = ['deleted', 'predicted', 'actual', 'by_magnitude']


def losses(frame):
    """Reads what has been measured on the dense networks.

    Args:
      frame: rows of `results.load_results`, of one experiment.

    Returns:
      DataFrame with a row per replicate and place: `replicate`, `examples` (of the training set) and the numbers of
      `training.deletion.measure`.
    """
    dense = frame[(frame['level'] == 0) & (frame['branch'] == 'ticket')].to_dict('records')
    read = storage.all_at_once(_read, dense)
    found = [pd.DataFrame({'replicate': run['replicate'], **numbers})
             for run, numbers in zip(dense, read, strict=True) if numbers]
    columns = ['replicate', 'examples', *_NUMBERS]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


def _read(run):
    """What was measured on a network; None where that has not been done."""
    try:
        return storage.read_json(storage.join(run['workdir'], run['run'], 'deletion.json'))
    except MissingFileError:
        return None
