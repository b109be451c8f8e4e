"""A remote file system in memory that can fail, be slow, and list late: what storage asks `tf.io.gfile` for."""

import collections
import contextlib
import fnmatch
import io
import types

import tensorflow as tf


class Files:
    """Files by path; a folder is what paths begin with, as in a bucket.

    Attributes:
      content: dict from path to bytes.
      unlisted: the paths that are read by name, but that no folder lists yet.
      late: bool, whether what is written from now on is not listed until `list_all`.
      before: function of (operation, path) that is called before each operation, to let it fail or wait.
      writes: Counter of the names that files got.
    """

    def __init__(self):
        self.content, self.unlisted, self.late = {}, set(), False
        self.writes = collections.Counter()
        self.before = lambda operation, path: None

    def list_all(self):
        self.unlisted.clear()

    def _below(self, path):
        return [name for name in self.content if name.startswith(f'{path}/') and name not in self.unlisted]

    def _there(self, path):
        if path not in self.content:
            raise tf.errors.NotFoundError(None, None, f'{path} not found')

    def exists(self, path):
        self.before('exists', path)
        return path in self.content or bool(self._below(path))

    def stat(self, path):
        self.before('stat', path)
        folder = bool(self._below(path))
        if not folder:
            self._there(path)
        return types.SimpleNamespace(is_directory=folder)

    def listdir(self, path):
        self.before('listdir', path)
        return list({name[len(path) + 1:].split('/')[0] for name in self._below(path)})

    def glob(self, pattern):
        self.before('glob', pattern)
        wanted = pattern.split('/')
        there = {'/'.join(name.split('/')[:len(wanted)]) for name in self.content if name not in self.unlisted}
        return [path for path in there if len(path.split('/')) == len(wanted) and all(
            map(fnmatch.fnmatchcase, path.split('/'), wanted))]

    def makedirs(self, path):
        self.before('makedirs', path)

    def remove(self, path):
        self.before('remove', path)
        self._there(path)
        del self.content[path]

    def rmtree(self, path):
        self.before('rmtree', path)
        for name in self._below(path):
            del self.content[name]

    def rename(self, path, to, overwrite):
        self.before('rename', to)
        self._there(path)
        self._write(to, self.content.pop(path))

    def _write(self, path, content):
        if self.late and path not in self.content:
            self.unlisted.add(path)
        self.content[path] = content
        self.writes[path] += 1

    @contextlib.contextmanager
    def _writer(self, path):
        written = io.BytesIO()
        yield written
        self._write(path, written.getvalue())

    def GFile(self, path, mode):
        self.before(mode, path)
        if mode == 'wb':
            return self._writer(path)
        self._there(path)
        return io.BytesIO(self.content[path])


def fail(error=tf.errors.UnavailableError):
    """A `before` that fails as TensorFlow does, in several lines and with the names of operations."""
    def before(operation, path):
        raise error(None, None, 'Error executing an HTTP request: libcurl code 6\n\t when reading {{node x}}')
    return before
