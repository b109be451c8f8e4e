"""A film of known pictures, drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from tf_lottery.reporting.pictures import film as drawn
from tf_lottery.tasks.film import Clip, Film

TITLES = [('Dense network', '100 % of the weights'), ('Winning ticket', '20.0 % of the weights')]


def clip(count, size=(40, 60), outcome=''):
    """Pictures of one grey each, darker from one to the next."""
    shades = np.linspace(250, 50, count).astype(np.uint8)
    return Clip(np.broadcast_to(shades[:, None, None, None], (count, *size, 3)), outcome)


def film(*clips):
    return Film(clips, 'They become darker.', 'step', 3)


def shades(content):
    """The greys in the middle of each picture of two clips: list of (int, int)."""
    with Image.open(io.BytesIO(content)) as moving:
        for number in range(moving.n_frames):
            moving.seek(number)
            array = np.asarray(moving.convert('RGB'))
            row = 2 * drawn._LINE + drawn._GAP + 20
            yield tuple(int(array[row, drawn._place(place) + drawn._SIDE // 2, 0]) for place in range(2))


def test_clips_stand_side_by_side_and_the_shorter_one_waits():
    found = list(shades(drawn.moving(film(clip(5), clip(3)), TITLES)))
    np.testing.assert_allclose(found, [(250, 250), (200, 150), (150, 50), (100, 50), (50, 50)], atol=8)


def test_a_film_is_small():
    with Image.open(io.BytesIO(drawn.moving(film(clip(250), clip(10)), TITLES))) as moving:
        # Each third picture, and the last one; as long as all.
        assert moving.n_frames == 84 and moving.size == (2 * 200 + 3 * 10, 2 * 18 + 10 + 40 + 18 + 10)
        assert moving.info['duration'] == 240 and moving.info['loop'] == 0
    noise = np.random.default_rng(0).integers(0, 255, (60, 200, 200, 3), np.uint8)
    content = drawn.moving(film(Clip(noise)), TITLES[:1])
    assert len(content) <= 300_000
    with Image.open(io.BytesIO(content)) as moving:
        assert moving.n_frames < 20


@pytest.mark.parametrize(('count', 'moments'), [(1, 1), (3, 3), (100, 4)])
def test_moments_stand_below_each_other(count, moments):
    with Image.open(io.BytesIO(drawn.still(film(clip(count, (400, 200)), clip(1)), TITLES))) as still:
        assert still.format == 'PNG' and still.size == (430, 46 + moments * (200 + 28))
        column = np.asarray(still)[46 + 100::228, 110, 0]
    np.testing.assert_array_equal(column, np.linspace(250, 50, count).astype(np.uint8)[
        np.unique(np.linspace(0, count - 1, 4).round().astype(int))])


def test_below_a_clip_stands_how_far_it_is_and_then_what_it_came_to(monkeypatch):
    said = []
    monkeypatch.setattr(drawn, '_write', lambda picture, place, top, text, *look: said.append((place, text)))
    drawn.still(film(clip(4, outcome='reward 9'), clip(2, outcome='reward 1'), clip(2)), [*TITLES, TITLES[1]])
    assert said[6:] == [(0, 'step 0'), (1, 'step 0'), (2, 'step 0'), (0, 'step 3'), (1, 'reward 1'), (2, 'step 3'),
                        (0, 'step 6'), (1, 'reward 1'), (2, 'step 6'), (0, 'reward 9'), (1, 'reward 1'), (2, 'step 9')]
