"""Lengths of training, written as the papers' code writes them: '500it' or '4ep', and '160games' where games count."""

import re

from tf_lottery.errors import UsageError, shown

# Whole numbers reach TensorFlow as int32.
LARGEST = 2**31 - 1

_LENGTH = re.compile(r'(\d+)(it|ep|games)')


def parse(text, steps_per_epoch, games=False):
    """Returns the number of optimizer steps in a length such as '500it' or '4ep', or of games where steps are games.

    Args:
      text: a whole number followed by 'it' (steps), 'ep' (epochs) or 'games', which are steps, too.
      steps_per_epoch: int, the steps of one epoch, or None where it is not known.
      games: bool, whether steps are games.

    Raises:
      UsageError: `text` is not of that form, has more steps than an int32 counts, is in epochs and `steps_per_epoch`
        is None, or is in games that are no steps.
    """
    match = _LENGTH.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise UsageError(f"{shown(text)} is not a length of training: write steps as '500it' or epochs as "
                         "'4ep'.")
    if match[2] == 'ep' and steps_per_epoch is None:
        raise UsageError(f"{text!r} is in epochs, whose length is not known here: write it in steps, as '500it'.")
    if match[2] == 'games' and not games:
        raise UsageError(f"{shown(text)} is in games, which are not what is counted here: write steps as '500it' or "
                         "epochs as '4ep'.")
    # Python refuses to read whole numbers of more than 4,300 digits, but not floats.
    steps = float(match[1]) * (steps_per_epoch if match[2] == 'ep' else 1)
    if steps > LARGEST:
        raise UsageError(f'{shown(text)} is longer than {LARGEST:,} steps: give a shorter length.')
    return int(steps)


def parse_list(text, steps_per_epoch, games=False):
    """Returns the numbers of steps in lengths such as '0it,500it,2ep', in rising order and each once: tuple of int.

    Args:
      text: one length or several with commas between them.
      steps_per_epoch, games: as of `parse`.

    Raises:
      UsageError: one of them is not a length.
    """
    lengths = [length.strip() for length in text.split(',')] if isinstance(text, str) else [text]
    return tuple(sorted({parse(length, steps_per_epoch, games) for length in lengths}))


def per_epoch(examples, batch_size):
    """int: whole batches only, as in the papers (1803.03635: 160 epochs of 45,000 at batch 64 are 112,480 steps)."""
    return examples // batch_size
