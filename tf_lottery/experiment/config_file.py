"""Reads the Python file of an experiment: whatever is wrong with it is one sentence that names the file."""

import contextlib
import importlib.machinery
import importlib.util
import inspect
import sys
import traceback

from absl import flags
from ml_collections import config_dict

from tf_lottery.errors import UsageError, in_one_line, shown

# What the module of a config file is called while it runs.
_MODULE = 'config_file'


class ConfigFile(flags.ArgumentParser):
    """Parses `--config=FILE` or `--config=FILE:ARM`; in the place of ml_collections' own parser of such a flag.

    That one keeps some errors of the file for whoever reads the config, passes others on, and makes texts with
    tracebacks of the rest.
    """

    def parse(self, path):
        """Returns what the file's `get_config()`, or `get_config(ARM)`, returns: a ConfigDict, locked.

        Raises:
          UsageError: the file cannot be read, ends in an error, or returns something else.
        """
        file, *arm = path.split(':', 1)
        with _told(file):
            get_config = getattr(_module(file), 'get_config', None)
        if not callable(get_config):
            raise UsageError(f'{file} has no function get_config: give --config a file that has one, as those of '
                             'configs/ do.')
        try:
            inspect.signature(get_config).bind(*arm)
        except TypeError:
            remedy = f'leave out :{arm[0]}' if arm else f'give one, as in --config={file}:ARM'
            raise UsageError(f'get_config of {file} takes {"no" if arm else "an"} arm: {remedy}.') from None
        with _told(file):
            config = get_config(*arm)
        if not isinstance(config, config_dict.ConfigDict):
            raise UsageError(f'get_config of {file} returns {shown(config)}: return a ConfigDict, '
                             'tf_lottery.config.defaults() with what differs.')
        config.lock()
        return config

    def flag_type(self):
        return 'config object'


def _module(file):
    """Runs the file, whatever its name ends in."""
    loader = importlib.machinery.SourceFileLoader(_MODULE, file)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(_MODULE, loader))
    # Data classes of the file look for themselves there.
    sys.modules[_MODULE] = module
    loader.exec_module(module)
    return module


@contextlib.contextmanager
def _told(file):
    """Turns an error of a config file into a UsageError that names the file and the line."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename == file:
            raise UsageError(f'--config={in_one_line(file)} cannot be read ({error.strerror}): give the path of '
                             'a config file, such as those in configs/.') from error
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        # Code that cannot be compiled has not run any line.
        line = lines[-1] if lines else getattr(error, 'lineno', None)
        where = f'line {line} of {file}' if line else file
        raise UsageError(f'{where} ends in {type(error).__name__} ({in_one_line(error)}): mend it, as the files '
                         'in configs/ show.') from error
