"""A task: what the engine asks about what networks are trained to do. It asks nobody else.

No TensorFlow here, so that the facts of a paper's task are known at once.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping

from tf_lottery.errors import UsageError
from tf_lottery.models import GROUPS  # noqa: F401
from tf_lottery.tasks.measure import Measures

SPLITS = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True)
class Weight:
    """A prunable weight.

    Attributes:
      group: str, one of GROUPS.
      shape: tuple of int.
      places: int, how often each of its numbers is multiplied per example.
    """

    group: str
    shape: tuple
    places: int


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a task before anything is trained.

    Attributes:
      about: str, what is trained on what, as in 'lenet_300_100 on mnist'.
      weights: {name: Weight} of the prunable weights, in the order of the layers; names are those of
        `wrapper.prunable_variables`.
      train, validation, test: int, the examples of each split; `train` is without those that are held out.
      compiles: bool, whether XLA pays for the network on a CPU.
    """

    about: str
    weights: dict
    train: int
    validation: int
    test: int
    compiles: bool

    def to_json(self):
        """A dict that JSON can hold; `from_json` reads it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored):
        weights = {name: Weight(weight['group'], tuple(weight['shape']), weight['places'])
                   for name, weight in stored['weights'].items()}
        return cls(**{**stored, 'weights': weights})


@dataclasses.dataclass(frozen=True)
class Serving:
    """How a trained network is served, and what an export of it is verified on.

    Arguments and outputs are called as in `exports.subject`: 'inputs' and 'outputs' where there is one of each.

    Attributes:
      inputs: {argument: array [n, ...]}, real examples, of the test set.
      calibration: {argument: array [n, ...]}, inputs whose ranges int8 takes, of the training set.
      classifies: names of the outputs whose largest element, of [n, classes], is the prediction.
      signatures: function from a network to {signature: (tf.function, {argument: array}, function from the outputs that
        a network has of `inputs`, and the network, to the answers {name: array} that are expected of the signature)};
        None where the network itself is the only one.
      score: function from outputs {output: array [n, ...]} to {measure's name: float}, what they are worth.
      takes, gives: str, what goes in and comes out, for the README.md of the export; None to describe the tensors.
      limits: str, what the network knows nothing of, for the same; '' for nothing to say.
    """

    inputs: Mapping
    calibration: Mapping
    classifies: tuple = ()
    signatures: Callable | None = None
    score: Callable | None = None
    takes: str | None = None
    gives: str | None = None
    limits: str = ''


class Task(abc.ABC):
    """What networks are trained to do.

    Attributes:
      measures: Measures that they are judged by.
    """

    measures: Measures

    @abc.abstractmethod
    def facts(self):
        """Returns Facts; of a paper's task without importing TensorFlow.

        Raises:
          UsageError: what the config says of the task cannot be done.
        """

    @abc.abstractmethod
    def network(self, seed):
        """Returns a dense `tf_keras` model, not wrapped, with its initial weights W_0, a function of the seed."""

    def optimizer(self):
        """Returns a fresh optimizer of the task's own, for `training.optimizer='own'`.

        Raises:
          UsageError: it has none.
        """
        raise UsageError("training.optimizer is 'own', the one that a model of your own was compiled with: give "
                         'another, or a task of your own.')

    @abc.abstractmethod
    def feed(self, settings, strategy, data_dir=None):
        """Returns what a trainer trains and evaluates on.

        Args:
          settings: trainer.Settings.
          strategy: a tf.distribute.Strategy.
          data_dir: where TFDS keeps data sets.

        Returns:
          feeds.Feed.
        """

    @abc.abstractmethod
    def loss(self, network, batch, seed):
        """In a training step, what is minimised on one replica.

        Args:
          network: the wrapped model.
          batch: what the feed makes of an element.
          seed: int32 scalar, the augmentation seed, of which whatever the network draws is a function.

        Returns:
          (float32 scalar, float32 scalar): the mean loss of the replica's examples, which is reported, and what is
          minimised, penalties included.
        """

    @abc.abstractmethod
    def inputs(self, batch):
        """Returns what the network is called with, of a batch or of examples as the feed has them."""

    @abc.abstractmethod
    def judge(self):
        """Returns the evaluation.Judge of the feed's examples."""

    @abc.abstractmethod
    def serving(self, data_dir=None):
        """Returns Serving."""
