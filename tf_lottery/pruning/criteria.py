"""What weights are ranked by: a score per weight; the highest stay."""

import numpy as np


def magnitude(weights):
    """|w|, the criterion of Han et al. (1506.02626) and of every lottery-ticket paper.

    Args:
      weights: float array of any shape.

    Returns:
      float array of the same shape and dtype.
    """
    return np.abs(weights)
