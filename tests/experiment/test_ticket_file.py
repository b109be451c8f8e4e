"""The file of a ticket: what is written is read, near its bound, and nothing else is ever read."""

import dataclasses
import hashlib
import json
import subprocess
import sys
import zlib

import ml_dtypes
import numpy as np
import pytest
from fake_files import fail
from hypothesis import given
from hypothesis import strategies as st

from tf_lottery.errors import CorruptFileError, StorageError, UsageError
from tf_lottery.experiment import ticket_file
from tf_lottery.exports import sizes
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, Ticket


def ticket(density, shape=(300, 100), seed=0):
    rng = np.random.default_rng(seed)
    mask = Mask({'fc/kernel': rng.random(shape) < density})
    return Ticket(mask, {'fc/kernel': rng.standard_normal(shape, np.float32), 'fc/bias': np.arange(5, dtype=np.float32),
                         'norm/count': np.array(7, np.int64)}, 500)


def same(left, right):
    starts = left.start, right.start
    return (left.mask == right.mask and left.step == right.step and list(starts[0]) == list(starts[1]) and all(
        starts[0][name].dtype == starts[1][name].dtype and np.array_equal(starts[0][name], starts[1][name])
        for name in starts[0]))


def test_a_file_system_that_fails_is_told_in_one_sentence(files):
    files.before = fail()
    for ask in (ticket_file.load_ticket, ticket_file.about, lambda path: ticket_file.save_ticket(path, ticket(0.5))):
        with pytest.raises(StorageError, match=r'^cannot .* gs://bucket.*: Error executing an HTTP request: libcurl'):
            ask('gs://bucket/ticket')


@pytest.mark.parametrize('density', [0, 1e-4, 0.03, 0.3, 0.5, 0.8, 1])
def test_a_ticket_is_read_as_it_was_written_and_within_five_percent_of_its_bound(density, tmp_path):
    path, wish = str(tmp_path / 'ticket'), ticket(density, (784, 300))
    ticket_file.save_ticket(path, wish, {'data': 'digits'})
    assert same(ticket_file.load_ticket(path), wish)
    assert ticket_file.about(path) == {'data': 'digits'}
    size = (tmp_path / 'ticket').stat().st_size
    # The header's few hundred bytes are all there is of an empty ticket.
    assert size <= 1.05 * sizes.bound(wish.mask, wish.weights) + 250


def test_a_ticket_with_frozen_weights_is_read_as_it_was_written(tmp_path):
    path, plain = str(tmp_path / 'ticket'), ticket(0.3)
    wish = dataclasses.replace(plain, frozen={'fc/kernel': np.ones((300, 100), np.float32)})
    ticket_file.save_ticket(path, wish)
    read = ticket_file.load_ticket(path)
    assert same(read, wish) and not same(read, plain)
    pruned = ~wish.mask['fc/kernel']
    assert list(read.frozen) == ['fc/kernel'] and np.all(read.frozen['fc/kernel'][pruned] == 1)
    ticket_file.save_ticket(path, plain)
    assert ticket_file.load_ticket(path).frozen is None


@pytest.mark.parametrize('dtype', [
    'bool', 'int8', 'uint8', 'int32', 'uint64', 'float16', 'float64', '>f4', 'complex64', ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4])
def test_weights_of_any_dtype_are_read_to_the_bit(dtype, tmp_path):
    path, mask = str(tmp_path / 'ticket'), Mask({'w': np.eye(4, 3)})
    values = np.arange(-6, 6).reshape(4, 3).astype(dtype)
    wish = Ticket(mask, {'w': values, 'bias': values[0], 'count': values[1, 1]})
    ticket_file.save_ticket(path, wish)
    again = ticket_file.load_ticket(path)
    for name, array in wish.start.items():
        assert again.weights[name].dtype == np.dtype(dtype).newbyteorder('=')
        assert again.weights[name].astype(array.dtype).tobytes() == array.tobytes()


@pytest.mark.parametrize(('values', 'found'), [
    (np.array([b'a'], object), 'object'), (np.array(['ab']), '<U2'), (np.zeros(1, 'M8[s]'), r'datetime64\[s\]'),
    (np.zeros(1, [('qint8', 'i1')]), 'qint8')])
def test_what_is_no_number_is_refused_before_anything_is_written(tmp_path, values, found):
    with pytest.raises(UsageError, match=f'^table holds .*{found}.*, which is no weight: leave it out of the ticket'):
        ticket_file.save_ticket(str(tmp_path / 'ticket'), Ticket(Mask({}), {'table': values}))
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4))
def test_any_mask_is_read_back(tmp_path_factory, flags, rows):
    kept = np.array(flags * rows, bool).reshape(rows, len(flags))
    wish = Ticket(Mask({'w': kept}), {'w': np.ones(kept.shape, np.float32)})
    path = str(tmp_path_factory.getbasetemp() / 'ticket')
    ticket_file.save_ticket(path, wish)
    assert same(ticket_file.load_ticket(path), wish)


def test_gaps_are_coded_by_hand(tmp_path):
    # Places 2, 3 and 12 of 16: gaps 2, 0 and 8. With r = 1: quotients 1, 0, 4, so 01 1 00001, and remainders 0 0 0.
    kept = np.zeros(16, bool)
    kept[[2, 3, 12]] = True
    mask, streams = ticket_file._encode(kept)
    assert mask == [False, 3, 1, 1]
    assert streams == [bytes([0b01100001]), bytes([0])]


def test_no_changed_byte_and_no_cut_goes_unnoticed(tmp_path):
    path = tmp_path / 'ticket'
    ticket_file.save_ticket(str(path), ticket(0.3, (6, 5)))
    content = path.read_bytes()
    for place in range(len(content)):
        for changed in (content[:place], content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]):
            path.write_bytes(changed)
            with pytest.raises(CorruptFileError, match='is corrupt: its checksum|is not a ticket'):
                ticket_file.load_ticket(str(path))


def forge(path, change):
    """Writes a ticket whose header was changed and whose checksum fits."""
    content = path.read_bytes()[:-32]
    magic, length = content[:9], int.from_bytes(content[9:13], 'little')
    header = json.loads(zlib.decompress(content[13:13 + length]))
    change(header)
    header = zlib.compress(json.dumps(header).encode())
    content = magic + len(header).to_bytes(4, 'little') + header + content[13 + length:]
    path.write_bytes(content + hashlib.sha256(content).digest())


@pytest.mark.parametrize('change', [
    lambda header: header['variables'].pop(),
    lambda header: header['variables'][0].__setitem__(1, 'object'),
    lambda header: header['variables'][0].__setitem__(1, 'no such type'),
    lambda header: header['variables'][0].__setitem__(2, [2, 2]),
    lambda header: header['variables'][0].__setitem__(2, [-6, -5]),
    lambda header: header['variables'][0].__setitem__(2, [10**15]),
    lambda header: header['variables'][0].__setitem__(3, [False, 10**12, 1, 1]),
    lambda header: header['variables'][0].__setitem__(3, [False, 3, 40, 1]),
    lambda header: header.pop('step'),
    lambda header: header.__setitem__('variables', 3),
], ids=range(10))
def test_a_forged_header_is_one_sentence(tmp_path, change):
    path = tmp_path / 'ticket'
    ticket_file.save_ticket(str(path), ticket(0.3, (6, 5)))
    forge(path, change)
    with pytest.raises(CorruptFileError, match='is corrupt: it was not written by tf_lottery'):
        ticket_file.load_ticket(str(path))


def test_a_foreign_file_is_told(tmp_path):
    (tmp_path / 'ticket').write_bytes(b'\x80\x04K\x01.')
    with pytest.raises(CorruptFileError, match='is not a ticket: give a file that'):
        ticket_file.load_ticket(str(tmp_path / 'ticket'))


def test_it_is_read_without_tensorflow(tmp_path):
    path = str(tmp_path / 'ticket')
    ticket_file.save_ticket(path, dataclasses.replace(ticket(0.5), weights={
        **ticket(0.5).weights, 'fc/bias': np.ones(3, ml_dtypes.bfloat16)}))
    script = f"""
import sys
sys.modules['tensorflow'] = None
import tf_lottery
print(tf_lottery.load_ticket({path!r}).mask)
"""
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith('Mask(')


def test_a_remote_ticket_is_read(tmp_path):
    ticket_file.save_ticket('ram://tickets/ticket', ticket(0.5))
    assert same(ticket_file.load_ticket('ram://tickets/ticket'), ticket(0.5))
    storage.remove('ram://tickets')
