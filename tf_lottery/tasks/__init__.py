"""What networks are trained to do, a file per kind of task."""

from tf_lottery.errors import UsageError, in_one_line
from tf_lottery.runtime import objects
from tf_lottery.tasks import images
from tf_lottery.tasks.images import ImageTask
from tf_lottery.tasks.task import Task


def find(config, data_dir=None):
    """Returns the Task that a config chooses.

    Args:
      config: ConfigDict, its values of their kinds.
      data_dir: where TFDS keeps data sets.

    Raises:
      UsageError: what the config says of the task cannot be done.
    """
    if config.task is None:
        return ImageTask(config, data_dir)
    images.require_unread(config)
    task = objects.load(config.task, 'task')
    if not isinstance(task, Task):
        raise UsageError(f'task={in_one_line(config.task)} is a {type(task).__name__}: give the name of a '
                         'tf_lottery.KerasTask there.')
    return task
