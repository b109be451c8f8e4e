"""A ticket as one small file: the mask, the surviving weights and the step, with a checksum and no pickle.

    9 bytes   b'\x89TICKET\r\n'
    4 bytes   length of the header, little-endian
    header    JSON, deflated: {'step': k, 'about': {...}, 'variables': [[name, dtype, shape, mask or null], ...]},
              where [name, dtype, shape, mask, true] is one whose pruned weights are frozen at other values than zero
    payload   for each variable its mask, where it has one, and then its values, the survivors only or, where pruned
              weights are frozen, all, little-endian
    32 bytes  SHA-256 of all before

A mask is coded by the gaps between the places of the rarer kind, survivors or pruned, each gap as a Golomb-Rice code:
the quotient by 2^r in unary, in one stream of bits, the remainder in r bits, in a second one. For places drawn at
random that is within a few percent of the mask's entropy.

Source: Rice & Plaunt 1971, "Adaptive variable-length coding".
"""

import hashlib
import json
import math
import zlib

import numpy as np

from tf_lottery.errors import CorruptFileError, UsageError
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, Ticket, pack, unpack

_MAGIC = b'\x89TICKET\r\n'
_DIGEST = hashlib.sha256().digest_size
# A header that says more than this about a few hundred variables is no header.
_HEADER = 2**24
# No layer has more weights; zeros that take no room in a file could fill a machine's memory.
_WEIGHTS = 2**31


def save_ticket(path, ticket, about=None):
    """Writes a ticket, local or on any file system that TensorFlow knows.

    Args:
      path: str.
      ticket: Ticket; weights that its mask has pruned are not kept, unless they are frozen.
      about: what JSON can hold, such as the config that the ticket is trained under, or None.

    Raises:
      UsageError: a weight that is not a number, such as a string.
    """
    variables, payload, whole = [], [], ticket.frozen is not None
    for name, values in pack(ticket.start, ticket.mask, whole).items():
        values = np.asarray(values)
        if not _holds_numbers(values.dtype):
            raise UsageError(f'{name} holds {values.dtype}, which is no weight: leave it out of the ticket.')
        shape, mask = values.shape, None
        if name in ticket.mask:
            shape = ticket.mask[name].shape
            mask, streams = _encode(ticket.mask[name].ravel())
            payload += streams
        variables.append([name, values.dtype.name, shape, mask, *([True] if whole and mask else [])])
        payload.append(values.astype(values.dtype.newbyteorder('<')).tobytes())
    header = zlib.compress(json.dumps(
        {'step': int(ticket.step), 'about': about, 'variables': variables}, separators=(',', ':')).encode(), 9)
    content = b''.join([_MAGIC, len(header).to_bytes(4, 'little'), header, *payload])
    storage.write_bytes(path, content + hashlib.sha256(content).digest())


def load_ticket(path):
    """Reads the Ticket that `save_ticket` wrote; pruned weights are zero, or what they are frozen at.

    Raises:
      CorruptFileError: the file is truncated, was changed after it was written, or is something else.
    """
    return _read(path)[0]


def about(path):
    """Reads what `save_ticket` was told about a ticket; raises what `load_ticket` raises."""
    return _read(path)[1]


def _read(path):
    content = storage.read_bytes(path)
    if not content.startswith(_MAGIC):
        raise CorruptFileError(f'{path} is not a ticket: give a file that tf_lottery.save_ticket or an export wrote.')
    if hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
        raise CorruptFileError(f'{path} is corrupt: its checksum does not fit, so copy or export it again.')
    try:
        return _parse(content[len(_MAGIC):-_DIGEST])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError, zlib.error,
            CorruptFileError) as error:
        # Whoever changes a file may renew its checksum, too.
        raise CorruptFileError(f'{path} is corrupt: it was not written by tf_lottery ({error}).') from error


def _parse(content):
    start = 4 + int.from_bytes(content[:4], 'little')
    header = json.loads(zlib.decompressobj().decompress(content[4:start], _HEADER))
    payload = _Payload(content[start:])
    masks, weights, frozen = {}, {}, []
    for name, dtype, shape, mask, *whole in header['variables']:
        dtype = np.dtype(dtype)
        if not _holds_numbers(dtype) or any(type(size) is not int or size < 0 for size in shape):
            raise ValueError(f'{name} is {dtype} {shape}')
        count = math.prod(shape)
        if count > _WEIGHTS:
            raise ValueError(f'{name} has {count} weights')
        if mask is not None:
            masks[name] = _decode(payload, mask, count).reshape(shape)
            if whole == [True]:
                frozen.append(name)
            else:
                count, shape = int(masks[name].sum()), [-1]
        values = np.frombuffer(payload.take(count * dtype.itemsize), dtype.newbyteorder('<'))
        weights[name] = values.astype(dtype).reshape(shape)
    if payload.left:
        raise ValueError('bytes are left over')
    masks = Mask(masks)
    weights = unpack(weights, masks)
    held = {name: weights[name] for name in frozen} or None
    return Ticket(masks, weights, int(header['step']), held), header['about']


def _holds_numbers(dtype):
    return dtype.kind in 'fiubc' or storage.is_of_ml_dtypes(dtype)


class _Payload:
    """Bytes that are taken from the front; a ValueError where there are too few."""

    def __init__(self, content):
        self._content, self._place = content, 0

    @property
    def left(self):
        return len(self._content) - self._place

    def take(self, size):
        if not 0 <= size <= self.left:
            raise ValueError('bytes are missing')
        self._place += size
        return self._content[self._place - size:self._place]


def _encode(kept):
    """Codes a mask, bool [n].

    Returns:
      ([whether the coded places are the pruned ones, how many they are, r, bytes of the unary stream], streams).
    """
    inverted = bool(2 * kept.sum() > kept.size)
    gaps = np.diff(np.flatnonzero(kept != inverted), prepend=-1) - 1
    parameter = min(range(32), key=lambda r: int(np.sum(gaps >> r)) + r * gaps.size)
    ends = np.cumsum((gaps >> parameter) + 1)
    unary = np.zeros(ends[-1] if ends.size else 0, bool)
    unary[ends - 1] = True
    remainders = gaps[:, None] >> np.arange(parameter)[::-1] & 1
    streams = [np.packbits(unary).tobytes(), np.packbits(remainders.astype(bool)).tobytes()]
    return [inverted, gaps.size, parameter, len(streams[0])], streams


def _decode(payload, mask, size):
    """The inverse of `_encode`: bool [size]."""
    inverted, count, parameter, length = mask
    if not (isinstance(inverted, bool) and 0 <= count <= size and 0 <= parameter < 32):
        raise ValueError(f'a mask of {mask}')
    unary = np.unpackbits(np.frombuffer(payload.take(length), np.uint8))
    ends = np.flatnonzero(unary)
    if ends.size != count:
        raise ValueError(f'{ends.size} places instead of {count}')
    bits = np.unpackbits(np.frombuffer(payload.take((count * parameter + 7) // 8), np.uint8), count=count * parameter)
    remainders = bits.reshape(count, parameter).astype(np.int64) @ (1 << np.arange(parameter, dtype=np.int64)[::-1])
    places = np.cumsum(((np.diff(ends, prepend=-1) - 1) << parameter) + remainders + 1) - 1
    if count and places[-1] >= size:
        raise ValueError(f'a place beyond {size} weights')
    kept = np.full(size, inverted)
    kept[places] = not inverted
    return kept
