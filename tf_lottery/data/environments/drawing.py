"""Pictures of environments whose steps are formulas: lines and discs, in the lengths of the environment."""

import numpy as np
from PIL import Image, ImageDraw

# Okabe and Ito's, which colour-blind readers tell apart.
INK, GREY, BLUE, ORANGE = '#1f2430', '#9aa1ab', '#0072b2', '#d55e00'

_WIDTH = 240
# It is drawn larger by this factor and made smaller, so that edges are smooth.
_FINER = 4


class Drawing:
    """A picture that lines and discs are drawn into.

    Args:
      across, along: (float, float), from where to where it reaches from left to right and from bottom to top.
    """

    def __init__(self, across, along):
        (self._left, right), (bottom, self._top) = across, along
        self._scale = _FINER * _WIDTH / (right - self._left)
        size = _FINER * _WIDTH, _FINER * round(_WIDTH * (self._top - bottom) / (right - self._left))
        self._image = Image.new('RGB', size, 'white')
        self._draw = ImageDraw.Draw(self._image)

    def line(self, start, end, thickness, colour):
        """Draws a line from a point (x, y) to another one."""
        self._draw.line([*self._place(start), *self._place(end)], colour, round(self._scale * thickness))

    def disc(self, centre, radius, colour):
        self._draw.circle(self._place(centre), self._scale * radius, colour)

    def pixels(self):
        """Returns uint8 [height, width, 3]."""
        return np.asarray(self._image.reduce(_FINER))

    def _place(self, point):
        across, along = point
        return self._scale * (across - self._left), self._scale * (self._top - along)
