"""What networks are trained to do, a file per kind of task."""

from tf_lottery.tasks.images import VALUES, ImageTask, add_defaults, require_unread
from tf_lottery.tasks.reference import Reference

# Of all tasks only images have keys of a config; a task of one's own is written in Python.
__all__ = ('VALUES', 'add_defaults', 'find', 'require_unread')


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
