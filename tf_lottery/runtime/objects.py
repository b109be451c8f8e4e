"""Objects of the user's own, named by where they are written: 'file.py:name' or 'package.module:name'."""

import contextlib
import difflib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import traceback
import zlib

from tf_lottery.errors import UsageError, in_one_line, shown


def load(reference, key):
    """Finds what a reference names, and runs the file that it is written in, once in a process.

    A file may import what lies beside it; a relative path and a module are looked for from the working directory on.

    Args:
      reference: str, 'file.py:name' or 'package.module:name'.
      key: str, where the reference stands, as in 'model.name'.

    Returns:
      The object.

    Raises:
      UsageError: there is no such file, module or name, or the file ends in an error.
    """
    place, _, name = reference.rpartition(':')
    if not place or not name.isidentifier():
        raise UsageError(f'{key} is {shown(reference)}: give FILE.py:NAME, or PACKAGE.MODULE:NAME.')
    remedy = f'mend it, or give another {key}'
    module = (_of_file if place.endswith('.py') or '/' in place else _of_package)(place, key, remedy)
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, vars(module), 1)
        hint = f'did you mean {near[0]!r}?' if near else f'write it there, or give another {key}.'
        raise UsageError(f'{place} has no {name}, which {key}={in_one_line(reference)} names: {hint}')
    return getattr(module, name)


def run_file(file, name):
    """Runs a Python file, whatever its name ends in, and returns it as a module that is called `name`."""
    loader = importlib.machinery.SourceFileLoader(name, file)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    # Data classes of the file look for themselves there.
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def told(file, unreadable, remedy):
    """Turns an error of a file that is run or called into a UsageError that names the file and the line.

    Args:
      file: str, its path.
      unreadable: (str, str), what stands before and after the reason where the file itself cannot be read.
      remedy: str, what to do about an error in it.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename == file:
            before, after = unreadable
            raise UsageError(f'{before} cannot be read ({error.strerror}): {after}.') from error
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        # Code that cannot be compiled has not run any line.
        line = lines[-1] if lines else getattr(error, 'lineno', None)
        where = f'line {line} of {file}' if line else file
        raise UsageError(f'{where} ends in {type(error).__name__} ({in_one_line(error)}): {remedy}.') from error


def file_of(reference):
    """The path of the file that `load` has run for a reference, as Python names it where it tells of a line."""
    place = reference.rpartition(':')[0]
    return (_module_of(os.path.abspath(place)) or sys.modules[place]).__file__


def _of_file(path, key, remedy):
    file = os.path.abspath(path)
    module = _module_of(file)
    if module:
        return module
    _look_in(os.path.dirname(file))
    # What lies beside the file imports it by this name.
    name = os.path.splitext(os.path.basename(file))[0]
    if name in sys.modules:
        name = f'{name}_{zlib.crc32(file.encode()):08x}'
    with told(file, (f'{in_one_line(path)} of {key}', 'give the path of a Python file'), remedy):
        return run_file(file, name)


def _module_of(file):
    """The module that a file has been run as, or None."""
    for module in list(sys.modules.values()):
        own = getattr(module, '__file__', None)
        # There are thousands of modules, and a real path asks the file system for each of its folders.
        if isinstance(own, str) and os.path.basename(own) == os.path.basename(file) and (
                os.path.realpath(own) == os.path.realpath(file)):
            return module
    return None


def _of_package(name, key, remedy):
    _look_in(os.getcwd())
    origin = name
    with told(name, (name, remedy), remedy):
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError as error:
            if not f'{name}.'.startswith(f'{error.name}.'):
                raise
            found = None
        if found is None:
            raise UsageError(f'there is no module {in_one_line(name)}, which {key} names: give one that can be '
                             'imported from here, or FILE.py:NAME.')
        origin = found.origin or name
    with told(origin, (name, remedy), remedy):
        return importlib.import_module(name)


def _look_in(folder):
    """Lets what lies in a folder be imported, before anything else of the same name, as beside a script."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
