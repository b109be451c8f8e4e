"""Every file of a run is read and written here, on local disks and on any file system of `tf.io.gfile`.

A local path goes through the operating system: a write is atomic (temporary name, fsync, rename) and needs no
TensorFlow. Any other path ('gs://bucket/run', 'ram://run') goes through `tf.io.gfile`, where a rename may be a copy;
there a reader trusts a folder only once the file that is written last, its marker, is there.
"""

import contextlib
import errno
import functools
import glob
import io
import json
import os
import posixpath
import shutil
import stat
import threading
import zipfile
from multiprocessing import pool

import ml_dtypes
import numpy as np
from absl import logging

from tf_lottery.errors import CorruptFileError, MissingFileError, StorageError, UsageError, reason
from tf_lottery.runtime import keras2

_FULL = 'the disk is full; free some space and run the same command again, nothing saved before is harmed'
_READING = ('look for', 'list', 'read')

# How much of a path a sentence names.
_LONGEST = 500

# TensorFlow asks an unreachable 'gs://' ten times, for minutes and in silence: after so long it is said what is waited
# for.
_SILENT_SECONDS = 10

# A remote file system answers slowly and answers many at a time.
_READERS = 16


def is_remote(path):
    return '://' in str(path)


def join(path, *parts):
    return posixpath.join(str(path), *map(str, parts))


def _above(path):
    """The folder that a file lies in."""
    return without_slash(str(path)[:str(path).rfind('/') + 1]) or '.'


def without_slash(folder):
    """A folder's path without slashes at its end, where it does not consist of them ('/', 'gs://')."""
    bare = str(folder).rstrip('/')
    return str(folder) if not bare or bare.endswith(':') else bare


@functools.cache
def _gfile():
    with keras2.quiet_start():
        import tensorflow as tf
    return tf.io.gfile


@contextlib.contextmanager
def one_sentence(action, path):
    """Turns what a file system says into a StorageError: one sentence that names the path and the remedy.

    Args:
      action: str, what is done, as in 'cannot read gs://bucket/file'.
      path: str, to what.

    Raises:
      StorageError; MissingFileError where there is nothing at `path`.
    """
    named = str(path) if str(path).isprintable() else repr(str(path))
    named = named if len(named) <= _LONGEST else f'{named[:_LONGEST]}...'
    if not _is_name(path):
        raise StorageError(f'cannot {action} {named}: that is no name of a file; choose another one.')
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        kind = MissingFileError if isinstance(error, (FileNotFoundError, NotADirectoryError)) else StorageError
        raise kind(f'cannot {action} {named}: {_reason_of_the_system(error, action)}.') from error
    except Exception as error:
        if not type(error).__module__.startswith('tensorflow'):
            raise
        kind = MissingFileError if type(error).__name__ == 'NotFoundError' else StorageError
        raise kind(f'cannot {action} {named}: {_reason_of_tensorflow(error, path)}.') from error


def _is_name(path):
    """Whether a file can be called so."""
    try:
        # TensorFlow takes UTF-8 only.
        name = str(path).encode() if is_remote(path) else os.fsencode(str(path))
    except UnicodeEncodeError:
        return False
    return b'\0' not in name


@contextlib.contextmanager
def _asked(action, path):
    """What is asked of a file system: `one_sentence`, and a warning where a remote one lets wait for its answer."""
    with one_sentence(action, path), contextlib.ExitStack() as answered:
        if is_remote(path):
            told = threading.Timer(_SILENT_SECONDS, logging.warning, (
                'Waiting for the file system to %s %s (Ctrl-\\ gives up).', action, path))
            told.daemon = True
            told.start()
            answered.callback(told.cancel)
        yield


def _reason_of_the_system(error, action):
    # Who copies a folder gets the errors of its files as a text.
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or os.strerror(errno.ENOSPC) in str(error):
        return _FULL
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ('you may not read it; change its permissions, or choose another one' if action in _READING else
                'it is not writable; choose another --workdir')
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return 'there is a file in the place of a folder; choose another --workdir'
    return error.strerror or str(error)


def _reason_of_tensorflow(error, path):
    if os.strerror(errno.ENOSPC) in str(error):
        return _FULL
    if 'File system scheme' in str(error):
        scheme, _, _ = str(path).partition('://')
        return f'TensorFlow has no file system for {scheme}://; give a local path or one in gs://'
    if type(error).__name__ == 'NotFoundError':
        return os.strerror(errno.ENOENT)
    if not is_remote(path):
        return reason(error)
    return f'{reason(error)}; see that this host can reach it and has the rights, and run the same command again'


def exists(path):
    with _asked('look for', path):
        if is_remote(path):
            return _gfile().exists(path)
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def make_folder(path):
    with _asked('create the folder', path):
        if is_remote(path):
            _gfile().makedirs(path)
        else:
            os.makedirs(path, exist_ok=True)


def list_folder(path):
    """Returns the sorted names in a folder, without what a killed process left half written; [] where there is none."""
    if not exists(path):
        return []
    with _asked('list', path):
        names = _gfile().listdir(path) if is_remote(path) else os.listdir(path)
        return sorted(name.rstrip('/') for name in names if not name.endswith('.tmp'))


def list_below(folder, depth):
    """Returns what lies exactly so many folders deep below a folder, in no order, as paths relative to it.

    A bucket is asked once, a local disk once for each folder. What a killed process left half written is among it.

    Args:
      folder: path; where there is nothing, the list is empty.
      depth: int; 1 lists the folder itself.
    """
    with _asked('list', folder):
        if is_remote(folder):
            return [path[len(str(folder)) + 1:] for path in _gfile().glob(glob.escape(str(folder)) + depth * '/*')]
        return list(_local_below(str(folder), depth))


def _local_below(folder, depth):
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(folder):
            if depth == 1:
                yield name
            else:
                yield from (f'{name}/{inner}' for inner in _local_below(f'{folder}/{name}', depth - 1))


def all_at_once(ask, items):
    """What a function returns for each item, in their order, asked for many at a time."""
    with pool.ThreadPool(_READERS) as readers:
        return readers.map(ask, items)


def folders_with(name, path):
    """Yields the folders at or below a folder that hold a file of a name; below one of them it does not look further.

    Links to folders are not followed.
    """
    if exists(join(path, name)):
        yield str(path)
        return
    for inner in list_folder(path):
        inner = join(path, inner)
        if _is_folder(inner):
            yield from folders_with(name, inner)


def _is_folder(path):
    with contextlib.suppress(MissingFileError), _asked('look for', path):
        # `tf.io.gfile.isdir` takes a network that fails for an answer.
        return _gfile().stat(path).is_directory if is_remote(path) else stat.S_ISDIR(os.lstat(path).st_mode)
    return False


def remove(path):
    """Removes a file, or a folder and all below it, and what a killed process left half written of it, if anything."""
    for each in (path, _temporary(path)):
        with contextlib.suppress(MissingFileError), _asked('remove', each):
            if _is_folder(each):
                (_gfile().rmtree if is_remote(each) else shutil.rmtree)(each)
            else:
                (_gfile().remove if is_remote(each) else os.remove)(each)


def _temporary(path):
    """Where a file is written before it gets its name. Who writes holds the folder, so that one name is enough."""
    return f'{path}.tmp'


def read_bytes(path):
    with _asked('read', path):
        if is_remote(path):
            with _gfile().GFile(path, 'rb') as file:
                return file.read()
        with open(path, 'rb') as file:
            return file.read()


def write_bytes(path, content, temporary=None):
    """Writes a file so that a local reader sees the old content or the new one, never a part.

    Args:
      path: the file.
      content: bytes.
      temporary: the file's name until it is whole, where several processes may write it; None where one does.
    """
    make_folder(_above(path))
    temporary = temporary or _temporary(path)
    with _asked('write', path):
        if is_remote(path):
            # What opening an existing file does differs: 'ram://' appends to it.
            if _gfile().exists(temporary):
                _gfile().remove(temporary)
            with _gfile().GFile(temporary, 'wb') as file:
                file.write(content)
            _gfile().rename(temporary, path, overwrite=True)
            return
        try:
            with open(temporary, 'wb') as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(temporary)
            raise


def replace_folder(source, path):
    """Puts a finished local folder in the place of `path`, which is as it was if that fails before the end.

    On a remote file system, where folders cannot be renamed, the old folder goes first.

    Raises:
      StorageError: the folder cannot be written.
    """
    if is_remote(path):
        remove(path)
        for folder, _, files in os.walk(source):
            below = os.path.relpath(folder, source)
            for name in files:
                write_bytes(join(path, posixpath.normpath(join(below, name))), read_bytes(join(folder, name)))
        return
    temporary = _temporary(path)
    make_folder(_above(path))
    try:
        with _asked('write', path):
            if os.path.exists(temporary):
                shutil.rmtree(temporary)
            shutil.copytree(source, temporary)
            if os.path.exists(path):
                shutil.rmtree(path)
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_text(path):
    """Raises CorruptFileError where the file does not hold UTF-8."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise CorruptFileError(f'{path} is corrupt: it does not hold text.') from error


def write_text(path, text):
    write_bytes(path, text.encode())


def read_json(path):
    """Raises CorruptFileError where the file does not hold JSON."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise CorruptFileError(f'{path} is corrupt: it does not hold JSON.') from error


def write_json(path, value):
    write_text(path, json.dumps(value, indent=2) + '\n')


def read_arrays(path, names=None):
    """Reads an .npz file; every byte of what is read is checked against the file's checksums.

    Args:
      path: the file.
      names: sequence of str, the arrays to read; None for all.

    Returns:
      dict of arrays.

    Raises:
      CorruptFileError: the file is truncated or was changed after it was written.
    """
    with _asked('read', path):
        try:
            with _opened(path, whole=names is None) as opened, np.load(opened, allow_pickle=False) as file:
                # Python takes a damaged table of contents for a shorter one; its length is said at the file's end.
                opened.seek(-12, io.SEEK_END)
                if len(file.files) != int.from_bytes(opened.read(2), 'little'):
                    raise CorruptFileError(f'{path} is corrupt: arrays are missing.')
                return {name: _with_its_dtype(file[name]) for name in names or file.files}
        except (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, OSError) as error:
            # A damaged table of contents may send the reader to a place before the file's start.
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise CorruptFileError(f'{path} is corrupt: {error}.') from error


def _opened(path, whole):
    """A file to read from; a remote one of which all is wanted is fetched at once, not piece by piece."""
    if not is_remote(path):
        return open(path, 'rb')
    return io.BytesIO(read_bytes(path)) if whole else _gfile().GFile(path, 'rb')


def write_arrays(path, arrays):
    """Writes named arrays as an uncompressed .npz file, the same bytes for the same arrays.

    Numpy's format knows numpy's own dtypes. An array of another, such as bfloat16, is written as unsigned integers, in
    a field that is called as its dtype.

    Raises:
      UsageError: an array holds objects, such as strings.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # A ZipInfo of its own carries no time of day, so that equal arrays give equal files.
            with archive.open(zipfile.ZipInfo(f'{name}.npy'), 'w', force_zip64=True) as member:
                np.lib.format.write_array(member, _with_numpy_dtype(name, np.asanyarray(array)), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def is_of_ml_dtypes(dtype):
    """Whether a dtype is bfloat16, a float8 or another that numpy has from ml_dtypes."""
    return vars(ml_dtypes).get(dtype.name) is dtype.type


def _with_numpy_dtype(name, array):
    if array.dtype.hasobject:
        raise UsageError(f'{name} holds {array.dtype}, which no file keeps: make it an array of numbers.')
    if is_of_ml_dtypes(array.dtype):
        return array.view([(array.dtype.name, f'u{array.dtype.itemsize}')])
    return array


def _with_its_dtype(array):
    """The inverse of `_with_numpy_dtype`."""
    (name,) = array.dtype.names if len(array.dtype.names or ()) == 1 else (None,)
    return array[name].view(getattr(ml_dtypes, name)) if name in vars(ml_dtypes) else array
