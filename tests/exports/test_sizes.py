"""The bound and the sizes of files."""

import gzip

import numpy as np

from tf_lottery.exports import sizes
from tf_lottery.ticket import Mask


def test_the_bound_by_hand():
    # One weight of four and two biases: 3 * 32 bits, and 4 H(1/4) = 8 - 3 log2(3) = 3.245 bits.
    mask = Mask({'fc/kernel': np.array([[True, False], [False, False]])})
    weights = {'fc/kernel': np.ones((2, 2)), 'fc/bias': np.zeros(2)}
    assert sizes.bound(mask, weights) == -(-(96 + 3.245) // 8) == 13


def test_masks_that_keep_all_or_nothing_cost_nothing():
    weights = {'a': np.ones(8), 'b': np.ones(8)}
    assert sizes.bound(Mask({'a': np.ones(8, bool), 'b': np.zeros(8, bool)}), weights) == 32


def test_several_files_add_up(tmp_path):
    (tmp_path / 'a').write_bytes(bytes(1000))
    (tmp_path / 'b').write_bytes(b'bc')
    raw, gzipped = sizes.measure([tmp_path / 'a', tmp_path / 'b'])
    assert raw == 1002
    assert gzipped == sum(len(gzip.compress(content, mtime=0)) for content in (bytes(1000), b'bc'))
