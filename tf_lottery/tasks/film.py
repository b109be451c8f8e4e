"""What a task shows of what networks do: a clip of each, to be seen side by side."""

import dataclasses
from typing import Any

from tf_lottery.errors import UsageError, shown


@dataclasses.dataclass(frozen=True)
class Clip:
    """What a network does.

    Attributes:
      pictures: uint8 array [n, height, width, 3], n > 0, one after the other.
      outcome: str, what it comes to, such as 'reward 200'; '' for nothing to say.

    Raises:
      UsageError: the pictures are no such array.
    """

    pictures: Any
    outcome: str = ''

    def __post_init__(self):
        shape = getattr(self.pictures, 'shape', ())
        if len(shape) != 4 or shape[-1] != 3 or not all(shape) or self.pictures.dtype != 'uint8':
            raise UsageError(f'pictures of a Clip is {shown(self.pictures)}: give an array uint8 [n, height, width, '
                             '3], where n is 1 or more.')


@dataclasses.dataclass(frozen=True)
class Film:
    """What some networks do, to be seen side by side.

    Attributes:
      clips: tuple of Clip, one for each network.
      about: str, a sentence on what is seen.
      unit: str, what is counted from picture to picture, such as 'step'.
      every: int, how many of these lie between two pictures.
    """

    clips: tuple
    about: str
    unit: str = 'picture'
    every: int = 1
