"""A task: what the engine asks about what networks are trained to do. It asks nobody else.

No TensorFlow here, so that the facts of a paper's task are known at once.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping

from tf_lottery import steps
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
      places: int, how often each of its numbers is multiplied per example; 0 for what is no kernel.
      channels: bool, whether its last axis is known to be the output channels of a layer. Folders of before do not have
        it, and are of the same experiment.
    """

    group: str
    shape: tuple
    places: int
    channels: bool = dataclasses.field(default=True, compare=False)


@dataclasses.dataclass(frozen=True)
class Play:
    """What is known of a training whose examples are steps in an environment.

    Attributes:
      epoch: int, the steps in the environment that an epoch takes, at most.
      exact: bool, whether it always takes as many; where games are counted, they may be over sooner.
      evaluation: int, those of the games that are played where a network is evaluated, at most.
      passes: int, how often the network runs forwards for a step, beside what any example takes in training.
      seconds: float, what the environment itself takes for a step, about, on one core.
      frames: int, of an emulator in a step, on average; 0 where there is none.
    """

    epoch: int
    exact: bool
    evaluation: int
    passes: int
    seconds: float
    frames: int = 0


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a task before anything is trained.

    Attributes:
      about: str, what is trained on what, as in 'lenet_300_100 on mnist'.
      weights: {name: Weight} of the prunable weights, in the order of the layers; names are those of
        `wrapper.prunable_variables`.
      train, validation, test: int, the examples of each split; `train` is without those that are held out.
      compiles: bool, whether XLA pays for the network on a CPU.
      compilable: bool, whether XLA can compile all that is trained and judged by.
      games: int, the games of an epoch, of a task whose steps are games; None where they are optimizer steps.
      whole: bool, whether training can be stopped at the ends of epochs only.
      play: Play, of a task whose examples are steps in an environment, else None.
      closing: int, as many examples as take as long in training as what is measured once, where a training ends.
      films: bool, whether `Task.film` shows what networks do.
      data: str, a digest of the examples where they are anybody's files; '' where it is not known.
    """

    about: str
    weights: dict
    train: int
    validation: int
    test: int
    compiles: bool
    compilable: bool = True
    games: int | None = None
    whole: bool = dataclasses.field(default=False, compare=False)
    play: Play | None = dataclasses.field(default=None, compare=False)
    closing: int = dataclasses.field(default=0, compare=False)
    films: bool = dataclasses.field(default=False, compare=False)
    data: str = dataclasses.field(default='', compare=False)

    def are_of(self, other):
        """Whether these are facts of the same task: of the same examples, too, where both know them."""
        return self == other and (self.data == other.data or not (self.data and other.data))

    def epoch(self, batch_size):
        """How lengths of training are counted: (int, bool), the steps of an epoch, and whether they are games."""
        if self.games is None:
            return steps.per_epoch(self.train, batch_size), False
        return self.games, True

    def to_json(self):
        """A dict that JSON can hold; `from_json` reads it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored):
        weights = {name: Weight(**{**weight, 'shape': tuple(weight['shape'])})
                   for name, weight in stored['weights'].items()}
        play = stored.get('play')
        return cls(**{**stored, 'weights': weights, 'play': play and Play(**play)})


# How many examples int8 takes the ranges of activations from.
CALIBRATION = 300


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature that a network is served by, with more in it than the network.

    Attributes:
      serve: function from a network to a tf.function that has an input signature and returns {name: tensor}.
      examples: {argument: array [n, ...]} that it is verified on.
      answers: function from the outputs of the network, {output: array [n, ...]}, to {name: array}: what the signature
        has to return; None where `alone` says so.
      inputs: {argument: array [n, ...]}, what the network takes of `examples`; None for the inputs of Serving.
      largest: {name: name of an answer of [n, classes]}, what the signature returns beside the answers: the place of
        the largest element of each.
      alone: function from the network in memory to {name: array}: what the signature has to return, where that is no
        function of the network's outputs.
      score: function from what the signature has to return to a float, the leading measure on the test set; None where
        the signature does not tell it.
    """

    serve: Callable
    examples: Mapping
    answers: Callable | None = None
    inputs: Mapping | None = None
    largest: Mapping = dataclasses.field(default_factory=dict)
    alone: Callable | None = None
    score: Callable | None = None


@dataclasses.dataclass(frozen=True)
class Words:
    """What the README.md of an export says in the words of the task; '' for nothing to say.

    Attributes:
      examples: str, what the test set is made of, in the plural.
      origin: str, sentences on what was trained on what.
      others: str, sentences on the signatures other than 'serving_default'.
      score: str, a sentence on what int8 does on these examples, of {title} and {value} of the leading measure.
      limits: str, a sentence on what the network knows nothing of.
    """

    examples: str = 'examples'
    origin: str = ''
    others: str = ''
    score: str = 'Its {title} on them is {value}.'
    limits: str = ''


@dataclasses.dataclass(frozen=True)
class Serving:
    """How a trained network is served, and what an export of it is verified on.

    Arguments and outputs are called as by `keras2.argument_names`: 'inputs' and 'outputs' where there is one of each.

    Attributes:
      inputs: {argument: array [n, ...]}, real examples, the first ones or all of the test set.
      calibration: {argument: array [n, ...]}, CALIBRATION examples of the training set, whose ranges int8 takes.
      classifies: names of the outputs whose largest element, of [n, classes], is the prediction; None for those that
        the network's own losses say, or whose values are probabilities.
      score: function from the outputs of the first n of `inputs`, {output: array [n, ...]}, to a float, the leading
        measure on these; None where outputs do not tell it.
      signatures: {name: Signature}, 'serving_default' among them; {} where the network itself is the only one.
      described: {'input': str, 'output': str}, what goes in and comes out of 'serving_default', and whatever else
        ticket.json is to say of the signatures; {} to describe the tensors of the network.
      words: Words.
      files: {name: bytes}, what else stands in the folder of an export, for whoever calls a signature.
      of: function from the network, its weights in it, to the Serving that it has; None where this one is of any.
    """

    inputs: Mapping
    calibration: Mapping
    classifies: tuple = ()
    score: Callable | None = None
    signatures: Mapping = dataclasses.field(default_factory=dict)
    described: Mapping = dataclasses.field(default_factory=dict)
    words: Words = Words()
    files: Mapping = dataclasses.field(default_factory=dict)
    of: Callable | None = None


class Task(abc.ABC):
    """What networks are trained to do.

    Attributes:
      measures: Measures that they are judged by.
      logits: bool, whether the outputs of a network are logits, which a temperature may divide.
      skip: names of layers that are left dense.
    """

    measures: Measures
    logits = False
    skip = ()

    @abc.abstractmethod
    def facts(self, variables='kernels'):
        """Returns Facts; of a paper's task, whose kernels are pruned, without importing TensorFlow.

        Args:
          variables: which of a network's are pruned, one of `allocation.VARIABLES`.

        Raises:
          UsageError: what the config says of the task cannot be done.
        """

    @abc.abstractmethod
    def network(self, seed):
        """Returns a dense `tf_keras` model, not wrapped, with its initial weights W_0, a function of the seed."""

    def initial(self, seed):
        """Returns the network that training starts from: that of `network`, unless it has been trained before."""
        return self.network(seed)

    def require_optimizer(self):
        """Refuses `training.optimizer='own'` where the task has no optimizer of its own, as most have none.

        Raises:
          UsageError.
        """
        raise UsageError("training.optimizer is 'own', the one that a model of your own was compiled with: give "
                         'another, or a task of your own.')

    def optimizer(self):
        """Returns a fresh optimizer of the task's own; raises what `require_optimizer` does."""
        self.require_optimizer()

    def require_data(self, data_dir=None):
        """Fetches what `feed` reads, where it is not there yet; all of a matrix are asked before one trains.

        Args:
          data_dir: as of `feed`.

        Raises:
          UsageError: it is not there and cannot be fetched.
        """
        del data_dir

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

    def film(self, networks):
        """Shows what networks do, where `Facts.films` says that there is something to see.

        Args:
          networks: iterable of Keras models, with their weights, each of which is built when it is asked for.

        Returns:
          film.Film, with a clip for each network, in their order.

        Raises:
          UsageError: it cannot be shown here.
        """
        raise NotImplementedError
