"""Finds winning tickets: one command from a config to a table, a picture and a SavedModel.

    python main.py                                   IMP on handwritten digits, nothing to download
    python main.py --config=mnist_lenet --mode=plan  what it would train, and what that costs
    python main.py --config=mnist_lenet --workdir=runs/lenet --config.pruning.fraction=0.1
"""

import sys

from tf_lottery.__main__ import main

if __name__ == '__main__':
    main(('python', sys.argv[0]))
