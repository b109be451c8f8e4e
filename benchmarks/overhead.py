"""What an experiment costs beyond its training and evaluation steps: start, data, building, compiling, saving, report.

    python benchmarks/overhead.py --replicates=1

Runs mnist_lenet at 3,000 steps a level in a temporary folder, by the command line's own functions, and adds up the
time inside the compiled training and evaluation programs. What is left, from before TensorFlow is imported to the
exported ticket, is what the rest costs.
"""

import time

BEGAN = time.perf_counter()

import contextlib
import io
import pathlib
import statistics
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from absl import app, flags
from tf_lottery import command

from benchmarks import measure
from tf_lottery.flags import define_flags

REPLICATES = flags.DEFINE_integer('replicates', 1, 'Replicates; more of them share the start and the compiling.')


class Clock:
    """Adds up the seconds of calls; one that also traces and compiles counts as a typical one."""

    def __init__(self):
        self._calls = []

    def around(self, function):
        if getattr(function, 'is_timed', False):
            return function

        def timed(*arguments):
            began = time.perf_counter()
            result = function(*arguments)
            self._calls.append(time.perf_counter() - began)
            return result

        timed.is_timed = True
        return timed

    @property
    def seconds(self):
        typical = statistics.median(self._calls)
        return sum(seconds if seconds < 10 * typical else typical for seconds in self._calls)


def main(argv):
    del argv
    steps, evaluations = Clock(), Clock()

    def watch():
        from tf_lottery.training.evaluation import Evaluator
        from tf_lottery.training.trainer import TrainingModel

        make = TrainingModel.make_train_function
        TrainingModel.make_train_function = lambda model, force=False: steps.around(make(model, force))
        Evaluator.__call__ = evaluations.around(Evaluator.__call__)

    train = command._train
    command._train = lambda *arguments: (watch(), train(*arguments))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        # config_flags looks for its overrides on the command line of the process.
        sys.argv = ['main.py', f'--config={ROOT}/configs/mnist_lenet.py', f'--workdir={folder}/run',
                    '--config.training.length=3000it', f'--config.replicates={REPLICATES.value}']
        options = flags.FlagValues()
        define_flags(options)
        options(sys.argv)
        command.run(options, 'python benchmarks/overhead.py')
    total = time.perf_counter() - BEGAN
    spent = steps.seconds + evaluations.seconds
    measure.header()
    measure.row(f'mnist_lenet, 3,000 steps a level, replicates {REPLICATES.value}: outside of steps / all',
                f'{total - spent:,.0f} s of {total:,.0f} s', (total - spent) / total, 'at most 0.10')


if __name__ == '__main__':
    app.run(main)
