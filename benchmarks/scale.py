"""What experiments of thousands of runs ask of a file system, and how long that takes.

    python benchmarks/scale.py --repeats=3

The runs are made up. A remote file system is TensorFlow's in memory, behind a layer that counts requests and lets each
wait as a bucket does. Beside each figure stands what it takes to ask for every run's result by its name, one by one.
"""

import pathlib
import statistics
import sys
import tempfile
import threading
import time
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from absl import app
from benchmarks import measure, report as made_up
from tf_lottery.experiment import config, plan, runs
from tf_lottery.experiment.claims import Claims
from tf_lottery.reporting import report
from tf_lottery.runtime import locks, storage

BRANCHES = ('ticket', 'random_reinit', 'random_mask', 'one_shot', 'lr_rewinding')
WAIT_SECONDS = 0.07


class Remote:
    """`tf.io.gfile` that counts what it is asked, and lets each request wait.

    Attributes:
      asked: int, the requests so far.
      wait: float, seconds.
    """

    def __init__(self):
        import tensorflow as tf

        self._files, self._lock = tf.io.gfile, threading.Lock()
        self.asked, self.wait = 0, 0.0

    def __getattr__(self, name):
        function = getattr(self._files, name)

        def answer(*arguments, **options):
            with self._lock:
                self.asked += 1
            time.sleep(self.wait)
            return function(*arguments, **options)

        return answer


def protocol(count, replicates):
    """An experiment of about so many runs: five branches of LeNet on the digits."""
    settings = config.defaults()
    settings.data.name = 'digits'
    settings.branches = BRANCHES
    settings.replicates = replicates
    settings.pruning.fraction = 0.02
    settings.pruning.levels = round(count / replicates / len(BRANCHES))
    return config.check(settings)


def finish(workdir, what):
    """Writes of every run what says that it is done, and how long it took."""
    for run in runs.wanted(what):
        folder = storage.join(workdir, run.folder)
        storage.write_text(storage.join(folder, 'timing.json'), '{"seconds": 10.0, "steps": 50000}')
        storage.write_text(storage.join(folder, 'result.json'), '{"diverged": false, "outcome": "finished"}')


def start(workdir, what):
    """Everything that a job asks of a file system before it trains its first run."""
    runs.claim(workdir, what, 'python benchmarks/scale.py')
    with Claims(workdir, what) as claims:
        replicate = claims.take()
        claims.ahead()
        # What `Experiment.run` asks.
        runs.pending(workdir, what, replicate)


def one_by_one(workdir, what):
    for run in runs.wanted(what):
        runs.is_done(workdir, run)


def timed(work, *arguments):
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def row(title, count, seconds, names, limit):
    """A line of a median of seconds and what asking one by one took, compared with a limit in seconds."""
    middle = statistics.median(seconds)
    measure.row(f'{title}, {count:,} runs / {limit:g} s', f'{middle:.2g} s, one by one {names:.2g} s', middle / limit,
                'at most 1')


def requests(remote):
    """The requests before an experiment trains, and the time they take from a bucket."""
    what = protocol(3000, 10)
    count = len(runs.wanted(what))
    with mock.patch.object(locks, '_SETTLE_SECONDS', 0):
        start('ram://scale/new', what)
        asked = remote.asked
        one_by_one('ram://scale/new', what)
        names = remote.asked - asked
        measure.row(f'requests before an experiment trains, {count:,} runs / 100',
                    f'{asked}, one by one {names:,} at each look', asked / 100, 'at most 1')
        remote.wait = WAIT_SECONDS
        seconds = timed(start, 'ram://scale/waiting', what)
        row(f'the same where each takes {1000 * WAIT_SECONDS:.0f} ms', count, [seconds], names * WAIT_SECONDS, 60)
        remote.wait = 0


def plans(folder):
    """A plan of an experiment that is done, on a local disk."""
    what = protocol(4500, 9)
    finish(folder, what)
    row('a plan, local disk', len(runs.wanted(what)),
        [timed(plan.describe, folder, what) for _ in range(measure.REPEATS.value)], timed(one_by_one, folder, what), 1)


def write_report(workdir):
    report.write(workdir, report.find(workdir))


def reports(remote, folder):
    """A report of LeNet with 20 levels, 5 branches and 9 replicates, on a local disk and from a bucket."""
    settings = made_up.protocol().config
    settings.replicates = 9
    what = config.check(settings)
    for place, wait in ((folder, 0), ('ram://scale/report', WAIT_SECONDS)):
        made_up.make_up(place, what)
        remote.wait = wait
        seconds = [timed(write_report, place)]
        names = timed(one_by_one, place, what)
        remote.wait = 0
        row('analyses and report, ' + (f'{1000 * wait:.0f} ms a request' if wait else 'local disk'),
            len(runs.wanted(what)), seconds, names, 60)


def main(argv):
    del argv
    remote = Remote()
    with mock.patch.object(storage, '_gfile', lambda: remote), tempfile.TemporaryDirectory() as folder:
        measure.header()
        requests(remote)
        plans(storage.join(folder, 'plan'))
        reports(remote, storage.join(folder, 'report'))


if __name__ == '__main__':
    app.run(main)
