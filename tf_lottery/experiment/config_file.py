"""Reads the Python file of an experiment: whatever is wrong with it is one sentence that names the file."""

import inspect

from absl import flags
from ml_collections import config_dict

from tf_lottery.errors import UsageError, in_one_line, shown
from tf_lottery.runtime import objects

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
            get_config = getattr(objects.run_file(file, _MODULE), 'get_config', None)
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


def _told(file):
    """Turns an error of a config file into a UsageError that names the file and the line."""
    return objects.told(file, (f'--config={in_one_line(file)}',
                               'give the path of a config file, such as those in configs/'),
                        'mend it, as the files in configs/ show')
