"""Reads ticket files where there is no TensorFlow: a program that `fresh` starts.

    python -I in_numpy.py JOB      a JSON file: see `fresh.run`
"""

import json
import pathlib
import sys

import numpy as np

sys.modules['tensorflow'] = None
# An isolated process does not see the files beside its program.
_HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1])]
import timing  # noqa: E402

from tf_lottery.experiment import ticket_file  # noqa: E402


def main(job):
    answers = {}
    for name, path in job['models'].items():
        ticket = ticket_file.load_ticket(path)
        answers[f'{name}/step'] = ticket.step
        answers.update({f'{name}/mask/{key}': value for key, value in ticket.mask.items()})
        answers.update({f'{name}/weights/{key}': value for key, value in ticket.weights.items()})
    np.savez(job['answers'], **answers)
    timing.write(job, {}, 'NumPy')


if __name__ == '__main__':
    with open(sys.argv[1]) as file:
        main(json.load(file))
