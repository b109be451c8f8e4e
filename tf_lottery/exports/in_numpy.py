"""Reads ticket files where there is no TensorFlow: a program that `fresh` starts.

    python -I in_numpy.py JOB      a JSON file: see `fresh.run`
"""

import json
import pathlib
import sys

import numpy as np

sys.modules['tensorflow'] = None


def main(job):
    sys.path[:0] = [job['here'], str(pathlib.Path(job['here']).parents[1])]
    import timing

    from tf_lottery import ticket_file
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
