"""What networks are trained to do, a file per kind of task."""

from tf_lottery.tasks.images import ImageTask


def find(config):
    """Returns the Task that a config chooses.

    Args:
      config: ConfigDict, its values of their kinds.

    Raises:
      UsageError: what the config says of the task cannot be done.
    """
    return ImageTask(config)
