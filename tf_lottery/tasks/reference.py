"""A task of one's own by where it is written, as 'rainfall.py:task'."""

import functools

from tf_lottery.errors import UsageError, in_one_line
from tf_lottery.runtime import elsewhere, keras2, objects
from tf_lottery.tasks.measure import Measures
from tf_lottery.tasks.task import Facts, Task

# What the reference of a task begins with that is in no file, such as one of a notebook.
IN_NO_FILE = ':'


class Reference(Task):
    """The task that a reference leads to; its file runs in this process once it is trained, not to know facts of it.

    Building a model starts TensorFlow, and a strategy that is built afterwards can neither split devices nor meet other
    workers.

    Args:
      reference: str, 'file.py:name' or 'package.module:name'.
    """

    def __init__(self, reference):
        self._reference = reference
        self._asked = {}

    def _known(self, variables):
        if variables not in self._asked:
            self._asked[variables] = elsewhere.call(f'{__name__}:known', self._reference, variables)
        return self._asked[variables]

    @property
    def _whichever(self):
        """What is known of it whatever is pruned, of what has been asked for already."""
        return next(iter(self._asked.values()), None) or self._known('kernels')

    @functools.cached_property
    def _task(self):
        return load(self._reference)

    @property
    def logits(self):
        return self._task.logits

    @property
    def skip(self):
        return self._task.skip

    @property
    def measures(self):
        return Measures.from_json(self._whichever['measures'])

    def facts(self, variables='kernels'):
        return Facts.from_json(self._known(variables)['facts'])

    def require_optimizer(self):
        if self._whichever['no_optimizer']:
            raise UsageError(self._whichever['no_optimizer'])

    def require_data(self, data_dir=None):
        self._task.require_data(data_dir)

    def optimizer(self):
        return self._task.optimizer()

    def network(self, seed):
        return self._task.network(seed)

    def initial(self, seed):
        return self._task.initial(seed)

    def feed(self, settings, strategy, data_dir=None):
        return self._task.feed(settings, strategy, data_dir)

    def inputs(self, batch):
        return self._task.inputs(batch)

    def loss(self, network, batch, seed):
        return self._task.loss(network, batch, seed)

    def judge(self):
        return self._task.judge()

    def serving(self, data_dir=None):
        return self._task.serving(data_dir)

    def film(self, networks):
        return self._task.film(networks)


def load(reference):
    """Returns the Task that a reference leads to, by running its file.

    Raises:
      UsageError: it leads to something else, or nowhere.
    """
    if reference.startswith(IN_NO_FILE):
        raise UsageError(f'the task {reference.removeprefix(IN_NO_FILE)!r} of this experiment is in no file: go on by '
                         'tf_lottery.run where it was made, such as its notebook, or write it into a file, for another '
                         'folder.')
    # The file imports them, and they greet.
    with keras2.quiet_start():
        import tf_keras  # noqa: F401
    task = objects.load(reference, 'task')
    if not isinstance(task, Task):
        raise UsageError(f'task={in_one_line(reference)} is a {type(task).__name__}: give the name of a '
                         'tf_lottery.KerasTask there.')
    return task


def known(reference, variables):
    """What is known of the task that a reference leads to, as JSON has it, by building its model in this process.

    Args:
      reference: str.
      variables: as of `Task.facts`.
    """
    task = load(reference)
    facts = task.facts(variables).to_json()
    try:
        task.require_optimizer()
    except UsageError as error:
        no_optimizer = str(error)
    else:
        no_optimizer = None
    return {'facts': facts, 'measures': task.measures.to_json(), 'no_optimizer': no_optimizer}
