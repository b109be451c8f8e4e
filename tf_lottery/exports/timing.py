"""The latency of models side by side, in whatever runtime; imported by the programs that `fresh` starts."""

import itertools
import json
import time

# Rounds in which each model has its turn, so that what else the machine does is spread over all of them.
_ROUNDS = 5


def write(job, models, runtime):
    """Measures models and writes {'runtime': ..., 'seconds': {name: {batch: float}}} to the job's file `latency`.

    The seconds are the processor time of the cheapest call, on one thread: what it takes where nothing else runs. By
    the clock, what else the machine does would add to the calls, and most to the long ones.

    Args:
      job: dict with `seconds`, for how long each model is measured per batch size, `batches` and `latency`.
      models: {name: function of a batch size that returns a function to time}.
      runtime: str, what runs them.
    """
    seconds = {name: {} for name in models}
    for batch in job['batches'] if models else ():
        calls = {name: prepare(batch) for name, prepare in models.items()}
        times = {name: [] for name in models}
        for call in calls.values():
            call()
        for _, name in itertools.product(range(_ROUNDS), calls):
            end = time.perf_counter() + job['seconds'] / _ROUNDS
            while not times[name] or time.perf_counter() < end:
                began = time.process_time()
                calls[name]()
                times[name].append(time.process_time() - began)
        for name in models:
            seconds[name][str(batch)] = min(times[name])
    with open(job['latency'], 'w') as file:
        json.dump({'runtime': runtime, 'seconds': seconds}, file)
