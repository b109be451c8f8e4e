"""Both sides of a comparison in one run: interleaved, repeated, medians and ratios."""

import contextlib
import pathlib
import statistics
import subprocess
import time

from absl import flags

REPEATS = flags.DEFINE_integer('repeats', 5, 'Measurements of each side.')


def interleaved(sides, repeats, clock=time.perf_counter):
    """Times functions in turn, so that a neighbour on the machine disturbs them alike.

    Args:
      sides: mapping from name to a function without arguments that does its work to the end; it may return the seconds
        that count, where these are not all that it takes.
      repeats: int.
      clock: function that returns seconds; `time.process_time` counts those of this process's threads, on all cores.

    Returns:
      {name: list of seconds, one per repeat}.
    """
    for work in sides.values():
        # Building and compiling are not what is compared.
        work()
    seconds = {name: [] for name in sides}
    for _ in range(repeats):
        for name, work in sides.items():
            began = clock()
            own = work()
            seconds[name].append(own if isinstance(own, float) else clock() - began)
    return seconds


@contextlib.contextmanager
def elsewhere(python, script, *arguments):
    """A function that has the work done in a process of its own, and returns the seconds it took.

    Args:
      python: path of an interpreter, or '' for None instead of the function.
      script: name of a file beside this one, which does its work, and prints the seconds, for each line that it reads.
      *arguments: of the script.
    """
    if not python:
        yield None
        return
    command = [python, pathlib.Path(__file__).with_name(script), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        def work():
            print(file=process.stdin, flush=True)
            return float(process.stdout.readline())

        yield work


def ratio(numerator, denominator):
    """The median of the ratios of neighbouring measurements, which share their disturbances."""
    return statistics.median(over / under for over, under in zip(numerator, denominator, strict=True))


def gemm(side=2048, products=8):
    """Returns a function that multiplies float32 matrices, and its floating-point operations."""
    import tensorflow as tf

    matrix = tf.random.stateless_normal([side, side], seed=[0, 0])
    multiply = tf.function(lambda: tf.matmul(matrix, matrix))

    def work():
        for _ in range(products):
            result = multiply()
        result.numpy()

    return work, products * 2 * side**3


def row(what, values, figure, asked):
    """Prints one line of the table in docs/performance.md."""
    print(f'| {what} | {values} | {figure:.2f} | {asked} |', flush=True)


def header():
    print('| what | medians | ratio | asked for |\n|---|---|---|---|', flush=True)


def rate(units, seconds, unit):
    """'1,234 steps/s' from the median."""
    return f'{units / statistics.median(seconds):,.0f} {unit}/s'
