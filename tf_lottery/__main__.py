"""Finds winning tickets: one command from a config to a table, a picture and a SavedModel.

    tf_lottery                                   IMP on handwritten digits, nothing to download
    tf_lottery --config=mnist_lenet --mode=plan  what it would train, and what that costs
    tf_lottery --config=mnist_lenet --workdir=runs/lenet --config.pruning.fraction=0.1
"""

import shlex
import sys

from absl import app, flags, logging

import tf_lottery
from tf_lottery import command
from tf_lottery.errors import UsageError
from tf_lottery.flags import define_flags

FLAGS = flags.FLAGS
if __name__ != '__main__':
    # As in flags.py: another program was started.
    flags.disclaim_key_flags()


def main(program=('tf_lottery',)):
    """Does what the command line says, and exits; `program` is what was typed before its flags."""
    with command.flag_errors():
        define_flags()
    # Help begins with the docstring of the script that was started; that of an installed command has none.
    script = sys.modules['__main__']
    script.__doc__ = script.__doc__ or __doc__
    app.run(lambda argv: sys.exit(command.in_one_sentence(lambda: _run(argv, program))),
            flags_parser=lambda argv: command.parse_flags(FLAGS, argv))


def _run(argv, program):
    if len(argv) > 1:
        raise UsageError(f'{argv[1]!r} is not a flag: settings are written as --config.training.length=500it.')
    if FLAGS.version:
        print(f'tf_lottery {tf_lottery.__version__}')
        return
    # absl prints INFO messages unless it is told otherwise; between the lines of a progress bar they are noise.
    if not FLAGS['verbosity'].present:
        logging.set_verbosity(logging.WARNING)
    command.run(FLAGS, shlex.join([*program, *sys.argv[1:]]))


if __name__ == '__main__':
    main(('python', '-m', 'tf_lottery'))
