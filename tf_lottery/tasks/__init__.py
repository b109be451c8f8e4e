"""What networks are trained to do, a file per kind of task."""

from tf_lottery.tasks.images import ImageTask
from tf_lottery.tasks.reference import Reference


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
    return Reference(config.task)
