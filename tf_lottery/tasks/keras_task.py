"""A task of the user's own: a compiled Keras model, and the examples that it is trained and judged on."""

import contextlib
import inspect
import re

from tf_lottery.errors import StorageError, UsageError, in_one_line, reason, shown
from tf_lottery.runtime import keras2
from tf_lottery.tasks.measure import LOSS, Measure, Measures
from tf_lottery.tasks.task import CALIBRATION, SPLITS, Facts, Serving, Task, Weight, Words

# Test examples that an export is verified on, at most.
_SERVED = 1000

# Metrics of Keras of which more is better, by the names of their classes and functions, without underscores; the values
# of the first are shares. An error, a loss or a divergence is better when it is lower.
_SHARES = ('accuracy', 'binaryaccuracy', 'categoricalaccuracy', 'sparsecategoricalaccuracy', 'topkcategoricalaccuracy',
           'sparsetopkcategoricalaccuracy')
_HIGHER = ('auc', 'binaryiou', 'cosinesimilarity', 'f1score', 'fbetascore', 'iou', 'meaniou', 'onehotiou',
           'onehotmeaniou', 'precision', 'precisionatrecall', 'r2score', 'recall', 'recallatprecision',
           'sensitivityatspecificity', 'specificityatsensitivity', 'truenegatives', 'truepositives')
_LOWER = ('error', 'loss', 'crossentropy', 'hinge', 'divergence', 'poisson', 'falsenegatives', 'falsepositives',
          'mae', 'mse', 'mape', 'msle', 'logcosh', 'huber')

# What a measure may be called: its name is part of those of pictures, and of columns of files.
_NAME = r'\w[\w.@-]*'

# Layers that XLA compiles to something faster on a CPU; convolutions and recurrent layers are not among them.
_COMPILES = ('Activation', 'ActivityRegularization', 'Add', 'AlphaDropout', 'Average', 'BatchNormalization',
             'CategoryEncoding', 'Concatenate', 'Dense', 'Dropout', 'ELU', 'Embedding', 'Flatten', 'Functional',
             'GaussianDropout', 'GaussianNoise', 'InputLayer', 'LayerNormalization', 'LeakyReLU', 'Maximum', 'Minimum',
             'Multiply', 'Normalization', 'PReLU', 'ReLU', 'Rescaling', 'Reshape', 'Sequential', 'Softmax', 'Subtract')


class KerasTask(Task):
    """What a compiled Keras model does, with examples of one's own.

    The model's losses, metrics, loss weights and sample weights count as they do in Keras's `fit` and `evaluate`. All
    that an experiment does, it does with it: branches, replicates, resumption to the bit, report and export.

    Args:
      build: function of a seed, int, that returns a compiled Sequential or functional `tf_keras` model, of any number
        of inputs and outputs. Initialisers without a seed of their own follow this one.
      examples: function without arguments that returns a dict with a split under each of 'train', 'test' and, if there
        is one, 'validation'; else one in ten training examples is held out. A split is what `fit` takes: (inputs,
        targets), with sample weights as a third, each an array [n, ...] or a nested structure of arrays; or a
        `tf.data.Dataset` of such tuples, of single examples or of batches. Arrays stay in memory, and which examples
        each step sees is a function of the replicate's seed and of the step. Of a data set it is, too, as far as the
        data set gives the same examples whenever it is read; it is shuffled, in pieces, on top of that.
      early_stop: str, the early stop is where this is best: 'validation_loss', or 'validation_' and a metric's name;
        None for no early stop.
      measures: Measures by which networks are judged, in the place of those that are made of the metrics of the same
        names, or what nobody can guess: their titles, units and directions. The first one leads the report; without
        any, the model's first metric does.
      class_weight: dict from class to weight, as in `fit`: for models of one output whose targets are classes.
      skip: names of layers that are left dense, as of `prunable`.
      film: function from an iterable of trained models, each built when it is asked for, to a Film of what they do,
        which the report shows; None for no film.
    """

    def __init__(self, build, examples, early_stop='validation_loss', measures=(), class_weight=None, skip=(),
                 film=None):
        for name, function, takes in (('build', build, ['a seed']), ('examples', examples, []),
                                      *([('film', film, ['trained models'])] if film else [])):
            _check_function(name, function, takes)
        if class_weight is not None and not (isinstance(class_weight, dict) and class_weight and all(
                isinstance(each, int) and each >= 0 for each in class_weight)):
            raise UsageError(f'class_weight is {shown(class_weight)}: give a dict from class, a number from 0 on, to '
                             'weight.')
        self.build, self.examples, self.skip = build, examples, tuple(skip)
        self._early_stop, self._given, self._class_weight = early_stop, tuple(measures), class_weight
        self._film = film
        self._model = self._splits = self._compiles = None
        self._found = {}

    def __getstate__(self):
        raise TypeError('a KerasTask holds a model and examples: make it anew where it is needed.')

    @property
    def measures(self):
        self.facts()
        return self._measures

    @property
    def logits(self):
        self.facts()
        losses = [loss for loss in self._model.compiled_loss._losses if loss is not None]
        return bool(losses) and all(getattr(loss, '_fn_kwargs', {}).get('from_logits') for loss in losses)

    def facts(self, variables='kernels'):
        if self._model is None:
            with keras2.quiet_start():
                import tensorflow as tf

                # Which greets, too, once.
                tf.config.list_logical_devices()
            self._model = self._built(0)
        if variables not in self._found:
            # Of these variables only: a layer may hold others in a way that cannot be pruned.
            shapes = self._prunable_shapes(variables)
            if self._compiles is None:
                self._splits = self._loaded()
                self._check_fit()
                self._measures = self._described()
                self._compiles = self._compiled()
            self._found[variables] = Facts(
                f'the model {self._model.name!r}', {name: Weight(*known) for name, known in shapes.items()},
                *(self._splits.length(split) for split in SPLITS), *self._compiles,
                films=self._film is not None)
        return self._found[variables]

    def _built(self, seed):
        """The user's compiled model."""
        import tf_keras

        from tf_lottery.models import own, randomness

        with keras2.seeded(seed):
            try:
                model = self.build(seed)
            except UsageError:
                raise
            except Exception as error:
                raise UsageError(f'build({seed}) ends in {type(error).__name__} ({in_one_line(error)}): mend it.'
                                 ) from error
        own.require_trainable(model, 'build')
        if not model._is_graph_network:
            raise UsageError(f'build returns {model.name!r}, a model without a graph of layers: make it Sequential '
                             'with an input shape, or functional.')
        if not model._is_compiled:
            raise UsageError(f'build returns {model.name!r}, which is not compiled: call its compile(...) with '
                             'optimizer, loss and metrics.')
        for method in ('train_step', 'test_step', 'compute_loss', 'compute_metrics'):
            if getattr(type(model), method) is not getattr(tf_keras.Model, method):
                raise UsageError(f'build returns {model.name!r}, whose class {type(model).__name__} has a {method} of '
                                 'its own, which would not be called: train it by tf_lottery.levels around your own '
                                 'fit.')
        randomness.follow(model)
        return model

    def _loaded(self):
        """The splits as feeds have them: dicts of `x`, and if there are any `y` and `weight`; or data sets of them."""
        from tf_lottery.tasks import own_examples

        return own_examples.load(self.examples, self._model, self._class_weight)

    def _check_fit(self):
        """Runs the model on a few examples, which makes the state of its losses and metrics, too.

        Raises:
          UsageError: they do not go together, or cannot become a part of a compiled program.
        """
        import tensorflow as tf

        judge = self.judge()
        for split in SPLITS:
            with _told(f'cannot be evaluated on the split {split!r} of examples', 'let them go together as in fit'):
                few = tf.nest.map_structure(tf.convert_to_tensor, self._splits.few(split))
                self._check_classes(split)
                judge.start()
                found = judge.finish(judge.add(self._model, few, ()))
                self.loss(self._model, {**few, 'step': tf.constant(0)}, tf.constant(0))
        self._names = list(found)
        with _told('cannot be trained in a compiled program', 'let its layers, losses and metrics compute by '
                   'TensorFlow\'s functions, without .numpy()'):
            self._passed(jit=False)
        judge.start()

    def _check_classes(self, split):
        """Refuses classes that a sparse cross-entropy has no output for: XLA would make NaN of them, without a word."""
        import tensorflow as tf

        container, outputs = self._model.compiled_loss, self._model.output
        if not container.built:
            container.build(outputs)
        targets = container._conform_to_outputs(outputs, self._splits.targets(split))
        for loss, output, classes in zip(container._losses, *map(tf.nest.flatten, (outputs, targets)), strict=True):
            function, settings = getattr(loss, 'fn', None), getattr(loss, '_fn_kwargs', {})
            if classes is None or getattr(function, '__name__', '') != 'sparse_categorical_crossentropy' or (
                    settings.get('ignore_class') is not None):
                continue
            count, low, high = output.shape[settings.get('axis', -1)], classes.min(), classes.max()
            if low < 0 or high >= count:
                raise UsageError(f'the split {split!r} of examples() has classes from {low} to {high}, for which the '
                                 f'model has {count} outputs: number them from 0 on, or let it have more outputs.')

    def _passed(self, jit):
        """Runs a program of what a step of training and an evaluation compute, compiled by XLA or not."""
        import tensorflow as tf

        judge = self.judge()

        @tf.function(jit_compile=jit)
        def step(few):
            judge.add(self._model, few, ())
            with tf.GradientTape() as tape:
                _, minimised = self.loss(self._model, {**few, 'step': tf.constant(0)}, tf.constant(0))
            return [each for each in tape.gradient(minimised, self._model.trainable_variables) if each is not None]

        step(tf.nest.map_structure(tf.convert_to_tensor, self._splits.few('train')))

    def _described(self):
        """The Measures of the model's metrics, where the user has not given them."""
        given = {measure.name: measure for measure in self._given}
        kinds = {metric.name: metric for metric in self._model.compiled_metrics.metrics}
        for name in given:
            if name not in self._names:
                raise UsageError(f'measures has {name!r}, but the model measures {", ".join(self._names)}: give one of '
                                 'these names.')
        each = [*given.values(), *(_of_metric(name, kind) for name, kind in kinds.items() if name not in given)]
        for measure in each:
            if not re.fullmatch(_NAME, measure.name):
                raise UsageError(f'the metric {measure.name!r} cannot be the name of a file and of a column: give it '
                                 'another name, of letters, digits and any of _ - . @ between them.')
        if self._early_stop is None:
            return Measures(tuple(each or [LOSS]), None)
        split, _, name = str(self._early_stop).partition('_')
        if split != 'validation' or name not in self._names:
            raise UsageError(f'early_stop is {shown(self._early_stop)}: give None for no early stop, or one of '
                             f'{", ".join(f"validation_{known}" for known in self._names)}.')
        if name not in ('loss', *(measure.name for measure in each)):
            # The loss of one of several outputs, which is a measure where somebody asks for it.
            each.append(Measure(name, name.replace('_', ' ')))
        higher = next((measure.higher for measure in each if measure.name == name), False)
        return Measures(tuple(each or [LOSS]), self._early_stop, higher)

    def _prunable_shapes(self, variables):
        from tf_lottery.models import own

        shapes = own.prunable_shapes(self._model, self.skip, variables)
        if not shapes:
            raise UsageError(f'the model {self._model.name!r} that build returns has no weights that can be pruned: '
                             'give it a layer that has a kernel.')
        return shapes

    def _compiled(self):
        """(bool, bool), `compiles` and `compilable` of Facts."""
        kinds = {type(layer).__name__ for layer in self._model._flatten_layers()}
        compiles = kinds <= set(_COMPILES) and self._is_compiled_by_xla()
        # What XLA makes of other layers is not tried, for it may take minutes: who knows says so in compile(...).
        return compiles, compiles or bool(self._model._jit_compile)

    def _is_compiled_by_xla(self):
        """Whether XLA can compile all that the model computes, losses and metrics of one's own too."""
        import tensorflow as tf

        if any(tensor.dtype == tf.string for tensor in self._model.inputs):
            return False
        try:
            self._passed(jit=True)
        except tf.errors.OpError:
            return False
        self.judge().start()
        return True

    def network(self, seed):
        return self._built(seed)

    def require_optimizer(self):
        import tf_keras

        from tf_lottery.pruning import optimizer_state

        self.facts()
        own = self._model.optimizer
        kind = type(own).__name__
        if isinstance(own, tf_keras.optimizers.legacy.Optimizer):
            raise UsageError(f'the model was compiled with the legacy optimizer {kind}, which an experiment cannot '
                             'rewind: give one of tf_keras.optimizers, or training.optimizer of the config.')
        optimizer_state.check(own)
        for each in optimizer_state.nested(own):
            if isinstance(each, tf_keras.optimizers.Nadam):
                raise UsageError('the model was compiled with Nadam, which keeps a count outside of its variables that '
                                 'no checkpoint can hold: give Adam, or training.optimizer of the config.')
            if getattr(each, 'use_ema', False):
                raise UsageError(f'the model was compiled with {kind}(use_ema=True), which would put averages in the '
                                 'place of the weights once training is over: leave use_ema out.')
            if getattr(each, '_exclude_from_weight_decay', ()):
                raise UsageError(f'the optimizer {kind} excludes the variables of a var_list from weight decay, which '
                                 'are others in each network: exclude them by var_names.')
            if getattr(each, '_built', False):
                raise UsageError(f'the model was compiled with the optimizer {kind} after this had trained, or begun '
                                 'to: let build call compile(...) last, with a new optimizer.')

    def optimizer(self):
        """Returns a fresh optimizer like that which the model was compiled with; Adam is `tf_lottery.Adam`."""
        import tf_keras

        from tf_lottery.pruning import optimizer_state
        from tf_lottery.training.optimizers import Adam

        self.require_optimizer()
        # That of another model: not all that an optimizer was given is in its config, such as a schedule of one's own.
        own = self._built(0).optimizer
        for each in optimizer_state.nested(own):
            if type(each) is tf_keras.optimizers.Adam:
                each.__class__ = Adam
            # The step around it is compiled.
            each.jit_compile = False
        return own

    def feed(self, settings, strategy, data_dir=None):
        self.facts()
        return self._splits.feed(settings, strategy, self.judge())

    def inputs(self, batch):
        return batch['x']

    def loss(self, network, batch, seed):
        from tf_lottery.models import randomness

        with randomness.drawn_from(seed, batch['step']):
            outputs = network(batch['x'], training=True)
        loss = self._minimised()(batch.get('y'), outputs, batch.get('weight'), regularization_losses=network.losses)
        return loss, loss

    def _minimised(self):
        from tf_lottery.tasks import keras_judge

        return keras_judge.Minimised(self._model)

    def judge(self):
        from tf_lottery.tasks import keras_judge

        return keras_judge.Judge(self._model)

    def serving(self, data_dir=None):
        self.facts()
        test = self._splits.first('test', _SERVED)
        judge = self.judge()

        def score(outputs):
            return judge.score(test, outputs)[self.measures.lead.name]

        calibration = self._splits.first('train', CALIBRATION)
        return Serving(*(keras2.by_argument(self._model, examples['x']) for examples in (test, calibration)), None,
                       score, words=Words(origin=f'Network: {self._model.name!r}.'))

    def film(self, networks):
        try:
            return self._film(networks)
        except (UsageError, StorageError):
            raise
        except Exception as error:
            raise UsageError(f'film(networks) ends in {type(error).__name__} ({in_one_line(error)}): mend it.'
                             ) from error


def _check_function(name, function, takes):
    try:
        inspect.signature(function).bind(*takes)
    except (TypeError, ValueError):
        arguments = ' and '.join(takes) or 'no arguments'
        raise UsageError(f'{name} of a KerasTask is {shown(function)}: give a function of {arguments}.') from None


@contextlib.contextmanager
def _told(what, remedy):
    """Turns whatever Keras, TensorFlow or functions of the user's own raise into a sentence."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f'the model that build returns {what} ({reason(error)}): {remedy}.') from error


def _of_metric(name, metric):
    """The Measure of a metric of Keras.

    Raises:
      UsageError: nobody knows which way it is better.
    """
    names = type(metric).__name__, getattr(getattr(metric, '_fn', None), '__name__', '')
    kinds = [kind.replace('_', '').lower() for kind in names]
    title = name.replace('_', ' ')
    if any(kind in _SHARES for kind in kinds):
        return Measure(name, title, '%', 100.0, True, 2, 1.0)
    if any(kind in _HIGHER for kind in kinds):
        return Measure(name, title, higher=True)
    if any(kind.endswith(_LOWER) for kind in kinds):
        return Measure(name, title)
    raise UsageError(f'nobody knows whether more of the metric {name!r} is better: give measures=(tf_lottery.Measure('
                     f'{name!r}, {title!r}, higher=True),), or higher=False.')
