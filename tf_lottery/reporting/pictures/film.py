"""What networks do, side by side: a GIF that moves, and a PNG of a few of its moments."""

import functools
import io
import math

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tf_lottery.reporting.pictures import GREY, INK

# A GIF has at most so many pictures and bytes, of so many colours; how long each of them stays, and the last one.
_PICTURES, _BYTES, _COLOURS, _MILLISECONDS, _LAST_MILLISECONDS = 100, 300_000, 64, 80, 2000
_MOMENTS = 4
# In pixels: the square that a network's picture fits in, what is between two, a line of text, and its letters.
_SIDE, _GAP, _LINE, _LETTERS = 200, 10, 18, 12


def moving(film, titles):
    """Draws a film as a GIF: bytes, of which there are few, for it leaves out pictures until they are.

    Args:
      film: tasks.film.Film.
      titles: list of (str, str), what stands in two lines above each clip.
    """
    clips, head = _clips(film), _head(titles)
    last = _last(film)
    every = math.ceil((last + 1) / _PICTURES)
    while True:
        numbers = [*range(0, last, every), last]
        content = _gif([_stacked([head, _row(film, clips, number)]) for number in numbers], every * _MILLISECONDS)
        if len(content) <= _BYTES or len(numbers) <= _MOMENTS:
            return content
        every *= 2


def still(film, titles):
    """Draws a few moments of a film below each other as a PNG: bytes; arguments as of `moving`."""
    clips, moments = _clips(film), np.unique(np.linspace(0, _last(film), _MOMENTS).round().astype(int))
    content = io.BytesIO()
    _stacked([_head(titles), *(_row(film, clips, number) for number in moments)]).save(content, 'PNG', optimize=True)
    return content.getvalue()


def _last(film):
    """int, the number of the last picture of the longest clip."""
    return max(len(clip.pictures) for clip in film.clips) - 1


def _clips(film):
    """The pictures of each clip as Pillow has them, which fit in their squares."""
    def fitted(array):
        picture = Image.fromarray(array)
        return ImageOps.contain(picture, (_SIDE, _SIDE)) if max(picture.size) > _SIDE else picture

    return [[fitted(array) for array in clip.pictures] for clip in film.clips]


def _row(film, clips, number):
    """What is seen at a moment, and below each picture how far it is, or what it has come to."""
    height = max(pictures[0].height for pictures in clips)
    row = Image.new('RGB', (_place(len(clips)), height + _LINE + _GAP), 'white')
    for place, (clip, pictures) in enumerate(zip(film.clips, clips, strict=True)):
        picture = pictures[min(number, len(pictures) - 1)]
        row.paste(picture, (_place(place) + (_SIDE - picture.width) // 2, 0))
        over = number >= len(pictures) - 1 and clip.outcome
        _write(row, place, height, clip.outcome if over else f'{film.unit} {film.every * number:,}', GREY)
    return row


def _head(titles):
    head = Image.new('RGB', (_place(len(titles)), 2 * _LINE + _GAP), 'white')
    for place, (title, more) in enumerate(titles):
        _write(head, place, 0, title, INK, 'bold')
        _write(head, place, _LINE, more, GREY)
    return head


def _place(number):
    """Where a clip begins from the left, in pixels."""
    return _GAP + number * (_SIDE + _GAP)


def _write(picture, place, top, text, colour, weight='normal'):
    """Writes a line of text below or above a clip, in the middle."""
    middle = _place(place) + _SIDE // 2, top + _LINE // 2
    ImageDraw.Draw(picture).text(middle, text, colour, _font(weight), 'mm')


@functools.cache
def _font(weight):
    """That of all pictures, which matplotlib brings."""
    return ImageFont.truetype(font_manager.findfont(font_manager.FontProperties(weight=weight)), _LETTERS)


def _stacked(pictures):
    whole = Image.new('RGB', (pictures[0].width, sum(picture.height for picture in pictures)), 'white')
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole


def _gif(pictures, milliseconds):
    # Of the same colours, a picture holds only what has changed since the one before.
    some = _stacked([pictures[0], pictures[len(pictures) // 2], pictures[-1]])
    colours = some.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE)
    first, *others = (picture.quantize(palette=colours, dither=Image.Dither.NONE) for picture in pictures)
    content = io.BytesIO()
    first.save(content, 'GIF', save_all=True, append_images=others, loop=0,
               duration=[*[milliseconds] * len(others), _LAST_MILLISECONDS])
    return content.getvalue()
