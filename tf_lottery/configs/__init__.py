"""The experiments that ship, by name: the files of configs/, which a wheel holds in this folder.

A config of one's own begins with one of them by `from tf_lottery.configs import mnist_lenet`.
"""

import pathlib
import pkgutil

_HERE = pathlib.Path(__file__).parent
# In a checkout they stand at its top.
_FOLDER = next(folder for folder in (_HERE, _HERE.parents[1] / 'configs') if (folder / 'digits_lenet.py').exists())
__path__ = [str(_FOLDER)]

# From name to path.
FILES = {module.name: str(_FOLDER / f'{module.name}.py') for module in pkgutil.iter_modules(__path__)}
