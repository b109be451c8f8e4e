"""A task of the user's own: a compiled Keras model, and the examples that it is trained and judged on."""

import inspect

from tf_lottery.errors import UsageError, in_one_line, reason, shown
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
    """

    def __init__(self, build, examples, early_stop='validation_loss', measures=(), class_weight=None):
        for name, function, arguments in (('build', build, (0,)), ('examples', examples, ())):
            _check_function(name, function, arguments)
        self.build, self.examples = build, examples
        self._early_stop, self._given, self._class_weight = early_stop, tuple(measures), class_weight
        self._model = self._splits = self._found = None

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

    def facts(self):
        if self._found is None:
            with keras2.quiet_start():
                import tensorflow as tf

                # Which greets, too, once.
                tf.config.list_logical_devices()
            self._model, self._splits = self._built(0), self._loaded()
            self._check_fit()
            self._measures = self._described()
            self._found = self._facts()
        return self._found

    def _built(self, seed):
        """The user's compiled model."""
        import tf_keras

        from tf_lottery.models import randomness
        from tf_lottery.pruning import wrapper

        with keras2.seeded(seed):
            try:
                model = self.build(seed)
            except UsageError:
                raise
            except Exception as error:
                raise UsageError(f'build({seed}) ends in {type(error).__name__} ({in_one_line(error)}): mend it.'
                                 ) from error
        try:
            keras2.require_model(model)
            wrapper.require_plain(model)
        except UsageError as error:
            raise UsageError(f'build returns what cannot be trained here: {error}') from error
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
          UsageError: they do not go together.
        """
        import tensorflow as tf

        judge = self.judge()
        for split in SPLITS:
            few = tf.nest.map_structure(tf.convert_to_tensor, self._splits.few(split))
            try:
                judge.start()
                found = judge.finish(judge.add(self._model, few, ()))
                self.loss(self._model, {**few, 'step': tf.constant(0)}, tf.constant(0))
            except UsageError:
                raise
            except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
                raise UsageError(f'the model that build returns cannot be evaluated on the split {split!r} of examples '
                                 f'({reason(error)}): let them go together as in fit.') from error
        self._names = list(found)
        judge.start()

    def _described(self):
        """The Measures of the model's metrics, where the user has not given them."""
        given = {measure.name: measure for measure in self._given}
        kinds = {metric.name: metric for metric in self._model.compiled_metrics.metrics}
        for name in given:
            if name not in self._names:
                raise UsageError(f'measures has {name!r}, but the model measures {", ".join(self._names)}: give one of '
                                 'these names.')
        each = [*given.values(), *(_of_metric(name, kind) for name, kind in kinds.items() if name not in given)]
        if self._early_stop is None:
            return Measures(tuple(each or [LOSS]), None)
        split, _, name = str(self._early_stop).partition('_')
        if split != 'validation' or name not in self._names:
            raise UsageError(f'early_stop is {shown(self._early_stop)}: give None for no early stop, or one of '
                             f'{", ".join(f"validation_{known}" for known in self._names)}.')
        higher = next((measure.higher for measure in each if measure.name == name), False)
        return Measures(tuple(each or [LOSS]), self._early_stop, higher)

    def _facts(self):
        from tf_lottery.models import own

        shapes = own.prunable_shapes(self._model)
        if not shapes:
            raise UsageError(f'the model {self._model.name!r} that build returns has no weights that can be pruned: '
                             'give it a layer that has a kernel.')
        kinds = {type(layer).__name__ for layer in self._model._flatten_layers()}
        texts = any(tensor.dtype.name == 'string' for tensor in self._model.inputs)
        return Facts(f'the model {self._model.name!r}', {name: Weight(*known) for name, known in shapes.items()},
                     *(self._splits.length(split) for split in SPLITS), kinds <= set(_COMPILES) and not texts)

    def network(self, seed):
        return self._built(seed)

    def require_optimizer(self):
        import tf_keras

        self.facts()
        own = self._model.optimizer
        if not isinstance(own, tf_keras.optimizers.Optimizer):
            raise UsageError(f'the model was compiled with a {type(own).__module__.split(".")[-1]} optimizer, '
                             f'{type(own).__name__}, which an experiment cannot rewind: give one of '
                             'tf_keras.optimizers, or training.optimizer of the config.')

    def optimizer(self):
        """Returns a fresh optimizer like that which the model was compiled with; Adam is `tf_lottery.Adam`."""
        import tf_keras

        from tf_lottery.training.optimizers import Adam

        self.require_optimizer()
        own = self._model.optimizer
        kind = Adam if type(own) is tf_keras.optimizers.Adam else type(own)
        settings = own.get_config()
        if 'jit_compile' in settings:
            # The step around it is.
            settings['jit_compile'] = False
        return kind.from_config(settings)

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


def _check_function(name, function, arguments):
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        takes = 'a seed' if arguments else 'no arguments'
        raise UsageError(f'{name} of a KerasTask is {shown(function)}: give a function of {takes}.') from None


def _of_metric(name, metric):
    """The Measure of a metric of Keras.

    Raises:
      UsageError: nobody knows which way it is better.
    """
    function = getattr(metric, '_fn', None)
    kind = type(metric).__name__ if function is None else getattr(function, '__name__', '')
    kind = kind.replace('_', '').lower()
    title = name.replace('_', ' ')
    if kind in _SHARES:
        return Measure(name, title, '%', 100.0, True, 2, 1.0)
    if kind in _HIGHER:
        return Measure(name, title, higher=True)
    if any(kind.endswith(ending) for ending in _LOWER):
        return Measure(name, title)
    raise UsageError(f'nobody knows whether more of the metric {name!r} is better: give measures=(tf_lottery.Measure('
                     f'{name!r}, {title!r}, higher=True),), or higher=False.')
