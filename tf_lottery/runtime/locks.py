"""A folder that one process holds at a time, on local disks and on any file system of `tf.io.gfile`.

On a disk the operating system keeps the lock (flock) and frees it when the process ends, however it ends; over NFS and
other shared disks that holds between hosts where the file system supports flock. Any other path ('gs://bucket/run') has
no locks: there a file with an owner and a time, renewed by a thread, stands for one as long as the time is recent.
"""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid

from absl import logging

from tf_lottery.errors import CorruptFileError, HeldError, MissingFileError, StorageError
from tf_lottery.runtime import storage

# What is in a folder because of a lock on it.
NAMES = frozenset({'.lock', 'lock.json'})

# A lock on a remote file system is renewed every minute, and its owner counts as dead after five.
_RENEW_SECONDS = 60
_DEAD_SECONDS = 300
# Of two processes that take a remote lock at once the last one to write has it. So long may taking it last, from the
# look at a free lock to the end of the write, and a little longer each one waits for what others write.
_TAKE_SECONDS = 4
_SETTLE_SECONDS = 5

# `owner` holds a local lock for an instant: who finds it held looks again before giving up.
_PATIENCE_SECONDS = 0.2
_POLL_SECONDS = 1


@contextlib.contextmanager
def lock(folder, wait=False):
    """Holds a folder for this process; a process that is killed frees it, on a remote file system after five minutes.

    Args:
      folder: path; it is made if it is not there.
      wait: bool, whether to wait for a process that holds it.

    Yields:
      Function that raises StorageError if the lock could not be renewed or another process took it over.

    Raises:
      HeldError: another process holds it, and `wait` is False.
      StorageError: the folder cannot be written.
    """
    storage.make_folder(folder)
    hold = _hold_remote if storage.is_remote(folder) else _hold_local
    began, told = time.monotonic(), False
    with contextlib.ExitStack() as held:
        while True:
            try:
                check = held.enter_context(hold(folder))
                break
            except HeldError as error:
                patient = time.monotonic() - began < _PATIENCE_SECONDS
                if not (wait or patient):
                    raise
                if not (patient or told):
                    logging.warning('Waiting for %s, which is writing in %s.', error.owner, folder)
                    told = True
            time.sleep(_PATIENCE_SECONDS / 4 if patient else _POLL_SECONDS)
        yield check


def owner(folder):
    """Says which process holds a folder: str, or None; does not take it."""
    if storage.is_remote(folder):
        return _fresh_owner(storage.join(folder, 'lock.json'))
    path = storage.join(folder, '.lock')
    if not storage.exists(path):
        return None
    with storage.one_sentence('read', path), open(path) as file:
        return None if _flock(file, fcntl.LOCK_SH, path) else _written_in(file)


def _this_process():
    return f'process {os.getpid()} on {socket.gethostname()}'


def _flock(file, kind, path):
    """Whether the operating system gives a lock on a file."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(f'cannot lock {path}: {error.strerror}; choose a --workdir on a file system with file locks '
                           '(flock).') from error
    return True


def _written_in(file):
    file.seek(0)
    return file.read().strip() or 'unknown'


@contextlib.contextmanager
def _hold_local(folder):
    path = storage.join(folder, '.lock')
    with storage.one_sentence('write', path):
        file = open(path, 'a+')  # noqa: SIM115  the error of opening it is told apart from those of its use
    with file:
        if not _flock(file, fcntl.LOCK_EX, path):
            raise HeldError(folder, _written_in(file))
        with storage.one_sentence('write', path):
            file.truncate(0)
            file.write(_this_process())
            file.flush()
            # Other hosts read the name while the file is open here.
            os.fsync(file.fileno())
        try:
            yield lambda: None
        finally:
            # The file itself stays: another process may have opened it and be about to lock it.
            with contextlib.suppress(OSError):
                file.truncate(0)


def _read(path):
    """What a lock file on a remote file system says: dict, empty where there is none.

    It is read without asking whether it is there: the answer may be older than the file.
    """
    try:
        holder = storage.read_json(path)
    except (MissingFileError, CorruptFileError):
        # Somebody is writing it, or died writing it; what is written next decides.
        return {}
    return holder if isinstance(holder, dict) and {'owner', 'time'} <= set(holder) else {}


def _fresh_owner(path):
    holder = _read(path)
    return holder['owner'] if holder and time.time() - holder['time'] < _DEAD_SECONDS else None


@contextlib.contextmanager
def _hold_remote(folder):
    path = storage.join(folder, 'lock.json')
    looked = time.monotonic()
    former = _fresh_owner(path)
    if former:
        raise HeldError(folder, former)
    token = uuid.uuid4().hex
    lost, ended = threading.Event(), threading.Event()

    def write():
        written = time.time()
        content = {'owner': _this_process(), 'time': written, 'token': token}
        storage.write_bytes(path, json.dumps(content).encode(), f'{path}.{token}.tmp')
        return written

    def check():
        # A minute before others take it over, so that what is being written at this moment is not written twice.
        if lost.is_set() or time.time() - renewed > _DEAD_SECONDS - _RENEW_SECONDS:
            raise StorageError(f'{folder} may be in other hands, since it could not be reached for some minutes: '
                               'nothing more is written. The same command goes on from the last checkpoint.')

    def renew():
        nonlocal renewed
        while not ended.wait(_RENEW_SECONDS):
            # What fails now may work in a minute; `check` says when it has failed too often.
            with contextlib.suppress(StorageError):
                if _read(path).get('token', token) != token:
                    lost.set()
                    return
                renewed = write()

    renewed = write()
    took = time.monotonic() - looked
    # Where it lasted longer, an owner that has waited in vain may have been written over: it sees that when it renews.
    time.sleep(_SETTLE_SECONDS if took < _TAKE_SECONDS else _RENEW_SECONDS + took)
    if _read(path).get('token') != token:
        raise HeldError(folder, _fresh_owner(path) or 'unknown')
    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield check
    finally:
        ended.set()
        thread.join()
        # What cannot be removed now expires.
        with contextlib.suppress(StorageError):
            if _read(path).get('token') == token:
                storage.remove(path)
