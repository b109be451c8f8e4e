"""The Transformer (Vaswani et al. 2017, 1706.03762): base, big, and small ones."""

import dataclasses

NORMS = ('post', 'pre')

# What each of the two kinds of attention is called, by who attends.
_ATTENTIONS = {'encoder': ('self',), 'decoder': ('self', 'source')}
_PRODUCTS = ('query', 'key', 'value', 'output')


@dataclasses.dataclass(frozen=True)
class Form:
    """A Transformer by its sizes; the defaults are those of the paper's base model.

    Attributes:
      vocabulary: int, sub-words, of both languages together.
      layers: int, of the encoder, and as many of the decoder.
      width: int, of embeddings and of what goes from layer to layer.
      heads: int, which divides the width.
      feed_forward: int, the width inside of the feed-forward layers.
      dropout: float, on embeddings and on what each part of a layer adds.
      norm: 'post', layer normalisation after each sum, as in the paper; or 'pre', in front of each part.
    """

    vocabulary: int
    layers: int = 6
    width: int = 512
    heads: int = 8
    feed_forward: int = 2048
    dropout: float = 0.1
    norm: str = 'post'


def shapes(form, source, target):
    """All trainable variables, known without TensorFlow.

    Args:
      form: Form.
      source, target: int, the sub-words of a sentence, on average.

    Returns:
      dict {name of the variable: (one of models.GROUPS, shape, places)}, the encoder's layers first; a kernel is
      multiplied once per place, other variables count none.
    """
    width = form.width
    # The numbers of sub-words choose rows; as the output layer it is multiplied by each place of the target.
    found = {'embedding/embedding': ('output', (form.vocabulary, width), target)}

    def dense(name, inputs, units, places):
        found[f'{name}/kernel'] = 'dense', (inputs, units), places
        found[f'{name}/bias'] = 'dense', (units,), 0

    def norm(name):
        found[f'{name}/gamma'] = found[f'{name}/beta'] = 'dense', (width,), 0

    for coder, places in (('encoder', source), ('decoder', target)):
        for number in range(form.layers):
            for kind in _ATTENTIONS[coder]:
                name = f'{coder}_{number}_{kind}'
                for product in _PRODUCTS:
                    of_source = kind == 'source' and product in ('key', 'value')
                    dense(f'{name}_{product}', width, width, source if of_source else places)
                norm(f'{name}_norm')
            name = f'{coder}_{number}_feed_forward'
            dense(f'{name}_inner', width, form.feed_forward, places)
            dense(f'{name}_outer', form.feed_forward, width, places)
            norm(f'{name}_norm')
        if form.norm == 'pre':
            norm(f'{coder}_norm')
    return found


def build(form, seed, precision='float32'):
    """Builds the network with its initial weights.

    Kernels are Glorot's uniform ones and biases zero, as in fairseq, which 1906.02768 trains with; embeddings are of
    N(0, 1 / width).

    Args:
      form: Form.
      seed: int, the initialisation seed.
      precision: the Keras dtype policy of the layers; logits are float32 under each.

    Returns:
      A `tf_keras` model from `source` int32 [n, sources], sub-words that end in an end mark and then in PADDING, and
      `target` int32 [n, targets], those that the decoder has said so far, to logits float32 [n, targets, vocabulary] of
      the sub-word that comes after each.
    """
    import tf_keras

    layers = _layers(form, seed, precision)
    source, target = (tf_keras.Input((None,), dtype='int32', name=name) for name in ('source', 'target'))
    parts = Parts(form, layers.__getitem__)
    memory, seen = parts.encode(source)
    logits = parts.decode(target, layers['not_later'](target), parts.remembered(memory), seen)
    return tf_keras.Model([source, target], logits, name='transformer')


def parts(form, network):
    """The Parts of a network that `build` made, wrapped for pruning or not."""
    return Parts(form, network.get_layer)


class Parts:
    """What a Transformer computes by its layers: on Keras's symbols as it is built, and on tensors as it translates.

    Args:
      form: Form.
      layer: function from the name of a layer to the layer.
    """

    def __init__(self, form, layer):
        self.form, self._layer = form, layer

    def encode(self, source):
        """What the decoder attends to: floats [n, sources, width], and which of them it sees, as of NotPadding.

        Args:
          source: int32 [n, sources].
        """
        seen = self._layer('not_padding')(source)
        found = self._embedded('source', source)
        for number in range(self.form.layers):
            found = self._added(f'encoder_{number}_self', found, lambda inputs, name: self._attended(
                name, inputs, self._keys_and_values(name, inputs), seen))
            found = self._added(f'encoder_{number}_feed_forward', found, self._fed_forward)
        return self._finished('encoder', found), seen

    def remembered(self, memory):
        """The keys and values of what the encoder has found, which stay the same whatever the decoder says.

        Args:
          memory: floats [n, sources, width].

        Returns:
          list by layer of (keys, values), floats [n, sources, width].
        """
        return [self._keys_and_values(f'decoder_{number}_source', memory) for number in range(self.form.layers)]

    def decode(self, target, seen, memory, seen_source, first=None, past=None):
        """The logits of what comes after each sub-word: float32 [n, targets, vocabulary].

        Args:
          target: int32 [n, targets].
          seen: bool that broadcasts to [n, heads, targets, keys], which keys of the target are seen from each place.
          memory: what `remembered` returned.
          seen_source: as of NotPadding.
          first: int32 scalar, the place in the sentence of the first of `target`; None for 0.
          past: function from the number of a layer and the (keys, values) of `target` to those of all that was said,
            floats [n, keys, width]; None where `target` is all that was said.
        """
        found = self._embedded('target', target, first)
        for number in range(self.form.layers):
            def attended(inputs, name, number=number):
                said = self._keys_and_values(name, inputs)
                return self._attended(name, inputs, past(number, said) if past else said, seen)

            def attended_source(inputs, name, number=number):
                return self._attended(name, inputs, memory[number], seen_source)

            found = self._added(f'decoder_{number}_self', found, attended)
            found = self._added(f'decoder_{number}_source', found, attended_source)
            found = self._added(f'decoder_{number}_feed_forward', found, self._fed_forward)
        return self._layer('logits')(self._layer('embedding')(self._finished('decoder', found), logits=True))

    def _embedded(self, name, ids, first=None):
        embedded = self._layer('embedding')(ids)
        placed = self._layer(f'{name}_positions')
        return self._layer(f'{name}_dropout')(placed(embedded) if first is None else placed(embedded, first=first))

    def _added(self, name, inputs, part):
        """`inputs`, and what a part of a layer adds to them, normalised."""
        norm, dropout, add = (self._layer(f'{name}_{each}') for each in ('norm', 'dropout', 'sum'))
        if self.form.norm == 'pre':
            return add([inputs, dropout(part(norm(inputs), name))])
        return norm(add([inputs, dropout(part(inputs, name))]))

    def _keys_and_values(self, name, inputs):
        return self._layer(f'{name}_key')(inputs), self._layer(f'{name}_value')(inputs)

    def _attended(self, name, inputs, keys_and_values, seen):
        found = self._layer(f'{name}_attention')([self._layer(f'{name}_query')(inputs), *keys_and_values, seen])
        return self._layer(f'{name}_output')(found)

    def _fed_forward(self, inputs, name):
        return self._layer(f'{name}_outer')(self._layer(f'{name}_inner')(inputs))

    def _finished(self, coder, found):
        return self._layer(f'{coder}_norm')(found) if self.form.norm == 'pre' else found


def _layers(form, seed, precision):
    """All layers by name."""
    import tf_keras

    from tf_lottery.models.attention import DotProductAttention, NotLater, NotPadding, Positions, TiedEmbedding
    from tf_lottery.models.dropout import Dropout

    found = {}

    def add(kind, name, *args, dtype=precision, **options):
        found[name] = kind(*args, name=name, dtype=dtype, **options)

    def dense(name, units, activation=None):
        add(tf_keras.layers.Dense, name, units, activation=activation,
            kernel_initializer=tf_keras.initializers.GlorotUniform(seed=seed + len(found)))

    def norm(name):
        add(tf_keras.layers.LayerNormalization, name, epsilon=1e-5)

    def part(name):
        norm(f'{name}_norm')
        add(Dropout, f'{name}_dropout', form.dropout)
        add(tf_keras.layers.Add, f'{name}_sum')

    add(TiedEmbedding, 'embedding', form.vocabulary, form.width, seed=seed)
    for name in ('source', 'target'):
        add(Positions, f'{name}_positions')
        add(Dropout, f'{name}_dropout', form.dropout)
    add(NotPadding, 'not_padding')
    add(NotLater, 'not_later')
    for coder, kinds in _ATTENTIONS.items():
        for number in range(form.layers):
            for kind in kinds:
                name = f'{coder}_{number}_{kind}'
                for product in _PRODUCTS:
                    dense(f'{name}_{product}', form.width)
                add(DotProductAttention, f'{name}_attention', form.heads)
                part(name)
            name = f'{coder}_{number}_feed_forward'
            dense(f'{name}_inner', form.feed_forward, 'relu')
            dense(f'{name}_outer', form.width)
            part(name)
        if form.norm == 'pre':
            norm(f'{coder}_norm')
    add(tf_keras.layers.Activation, 'logits', 'linear', dtype='float32')
    return found
