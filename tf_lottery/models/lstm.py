"""LSTM language models: an embedding, LSTM layers on each other, and the scores of the next word.

The networks of Zaremba et al. (1409.2329), section 4.1, and of Yu et al. (1906.02768), section 4.1.
"""

# Where dropout stands: between the LSTM layers, or around each of them: after the embedding and before the output, too.
PLACES = ('between', 'around')


def prunable_shapes(vocabulary, units, layers, embedding, tied, steps, variables='kernels'):
    """Returns what can be pruned, known without TensorFlow.

    Args:
      vocabulary, units, layers, embedding: int, as of `build`.
      tied: bool.
      steps: int, the words of a row of a batch, which is an example.
      variables: 'kernels', or 'all' for biases, too.

    Returns:
      {name of the weight: (group, shape, places)} in the order of the layers.
    """
    # The rows of a table are looked up, which multiplies nothing.
    shapes = {'embedding/embeddings': ('output', (vocabulary, embedding), steps) if tied else (
        'dense', (vocabulary, embedding), 0)}
    if tied:
        shapes['embedding/bias'] = 'output', (vocabulary,), 0
    width = embedding
    for number in range(1, layers + 1):
        shapes[f'lstm{number}/kernel'] = 'dense', (width, 4 * units), steps
        shapes[f'lstm{number}/recurrent_kernel'] = 'dense', (units, 4 * units), steps
        shapes[f'lstm{number}/bias'] = 'dense', (4 * units,), 0
        width = units
    if not tied:
        shapes['output/kernel'] = 'output', (units, vocabulary), steps
        shapes['output/bias'] = 'output', (vocabulary,), 0
    return {name: known for name, known in shapes.items() if variables == 'all' or not name.endswith('/bias')}


def state_widths(units, layers):
    """Returns {name: int} of what is carried from one window of a text to the next, in the order of the inputs."""
    return {f'{kind}{number}': units for number in range(1, layers + 1) for kind in ('hidden', 'cell')}


def build(vocabulary, units, layers, embedding, tied, dropout, place, scale, seed, precision='float32'):
    """Builds a network with its initial weights: all matrices from U(-scale, scale), as Zaremba's, and zero biases.

    Args:
      vocabulary: int, the numbers of words.
      units: int, of each LSTM layer.
      layers: int, how many.
      embedding: int, the numbers that a word becomes.
      tied: bool, whether the embedding is the output's matrix, too (1608.05859); `embedding` is `units` then.
      dropout: float in [0, 1), the probability that a unit is dropped.
      place: one of PLACES.
      scale: float.
      seed: int, the initialisation seed.
      precision: the Keras dtype policy; states and scores are float32 under each.

    Returns:
      A `tf_keras` model from [words int32 [n, steps], and the `state_widths` float32 [n, units]] to [scores float32
      [n, steps, vocabulary] of the word after each, and the states after the last].
    """
    import tf_keras

    from tf_lottery.models.dropout import Dropout
    from tf_lottery.models.recurrent import LSTM, TiedWords

    def uniform(number):
        return tf_keras.initializers.RandomUniform(-scale, scale, seed=seed + number)

    def dropped(values, number):
        return Dropout(dropout, name=f'dropout{number}', dtype=precision)(values) if dropout else values

    words = tf_keras.Input((None,), dtype='int32', name='words')
    states = [tf_keras.Input((width,), name=name) for name, width in state_widths(units, layers).items()]
    kinds = {True: TiedWords, False: tf_keras.layers.Embedding}
    table = kinds[tied](vocabulary, embedding, uniform(0), name='embedding', dtype=precision)
    values, after = table(words), []
    for number in range(layers):
        if number or place == 'around':
            values = dropped(values, number)
        values, *own = LSTM(units, uniform(2 * number + 1), uniform(2 * number + 2), name=f'lstm{number + 1}',
                            dtype=precision)([values, *states[2 * number:2 * number + 2]])
        after += own
    if place == 'around':
        values = dropped(values, layers)
    scores = table(values, scores=True) if tied else tf_keras.layers.Dense(
        vocabulary, kernel_initializer=uniform(2 * layers + 1), name='output', dtype=precision)(values)
    scores = tf_keras.layers.Activation('linear', dtype='float32', name='scores')(scores)
    return tf_keras.Model([words, *states], [scores, *after], name='lstm')
