"""A network as TFLite files: float32, the same with its zeros left out, and int8."""

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from tf_lottery.exports import batches, refusal, subject

_OPERATOR = schema.BuiltinOperator
_AS_IS = ()
# Operators with weights: which of their inputs these are, and how their layout in the file becomes that of Keras.
# Source: the comments on the kernels in tensorflow/lite/kernels.
_TO_KERAS = {
    _OPERATOR.FULLY_CONNECTED: (1, (1, 0)),
    _OPERATOR.CONV_2D: (1, (1, 2, 3, 0)),
    _OPERATOR.DEPTHWISE_CONV_2D: (1, (1, 2, 3, 0)),
    _OPERATOR.TRANSPOSE_CONV: (1, (1, 2, 0, 3)),
    _OPERATOR.CONV_3D: (1, _AS_IS),
    _OPERATOR.CONV_3D_TRANSPOSE: (1, _AS_IS),
    _OPERATOR.BATCH_MATMUL: (1, _AS_IS),
    _OPERATOR.GATHER: (0, _AS_IS),
}
# Those whose zeros `sparse` leaves out.
_ENCODED = (_OPERATOR.FULLY_CONNECTED, _OPERATOR.CONV_2D, _OPERATOR.DEPTHWISE_CONV_2D)
# The inputs of a fused LSTM that make up Keras's kernel and its recurrent kernel: of the gates input, forget, cell and
# output, each [units, inputs].
_OF_LSTM = ((1, 2, 3, 4), (5, 6, 7, 8))
_DTYPES = {schema.TensorType.FLOAT32: np.dtype('<f4'), schema.TensorType.INT8: np.dtype('i1')}
# Below this share of survivors LiteRT's sparse kernel for dense layers is faster than XNNPACK's dense kernel, for
# single examples and for the many places of an image: benchmarks/sparse_kernels.py.
_FEW = 0.05
_FEW_OF_PLACES = 0.025
# Operators that run another graph, or what it has filled.
_CONTROL = (_OPERATOR.WHILE, _OPERATOR.IF, _OPERATOR.CALL_ONCE, _OPERATOR.HASHTABLE_FIND)
# The version of the operator that may have sparse weights.
_SPARSE_VERSION = 8
# The smallest unsigned integers that the format has for places.
_PLACES = (
    (2**8, schema.SparseIndexVector.Uint8Vector, schema.Uint8VectorT, np.uint8),
    (2**16, schema.SparseIndexVector.Uint16Vector, schema.Uint16VectorT, np.uint16),
    (2**31, schema.SparseIndexVector.Int32Vector, schema.Int32VectorT, np.int32),
)


def convert(network):
    """A float32 TFLite file whose signature is that of the network.

    Its batch size is dynamic; or where a layer cannot be converted so, as recurrent ones that are not unrolled, it
    takes one example at a time, and LSTMs become LiteRT's own.

    Args:
      network: Keras model.

    Returns:
      bytes.

    Raises:
      UsageError: TFLite cannot hold a layer.
    """
    built_for = subject.batch_size(network)
    # TensorFlow 2.21 takes ten seconds to say that it converts no loop over time of a dynamic batch size.
    batch = built_for or (1 if _loops(network) else None)
    try:
        return _converted(_converter(network, batch))
    except _Unconvertible as error:
        if batch or 'TensorList' not in str(error.__cause__):
            raise refusal.after(error.__cause__, 'tflite', network) from error
    try:
        return _converted(_converter(network, 1))
    except _Unconvertible as error:
        raise refusal.after(error.__cause__, 'tflite', network) from error


def _loops(network):
    """The layers of a network that run a loop over time."""
    return [layer for layer in network.submodules if isinstance(layer, tf_keras.layers.RNN) and not layer.unroll]


def convert_int8(network, calibration, content):
    """A TFLite file that computes in int8, with inputs and outputs as in the float32 file; zeros stay zeros.

    Args:
      network: Keras model.
      calibration: {argument: array [n, ...]}, inputs that the ranges of activations are measured on.
      content: bytes that `convert` made of the network.

    Returns:
      bytes, for batches as in `content`.

    Raises:
      UsageError: int8 cannot hold a layer.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    if len(model.subgraphs) > 1:
        # TensorFlow 2.21 quantizes no loops: the process would end by a segmentation fault.
        graph = model.subgraphs[0]
        names = [graph.tensors[number].name.decode() for operator in graph.operators for number in operator.outputs
                 if model.operatorCodes[operator.opcodeIndex].builtinCode in _CONTROL]
        raise refusal.of('tflite_int8', network, 'int8 has no loops and no tables',
                         refusal.layer_in(network, names) or next(iter(_loops(network)), None))
    batch = fixed_batch(content)
    converter = _converter(network, batch)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: batches.split(calibration, batch or 1)
    try:
        return _converted(converter)
    except _Unconvertible as error:
        raise refusal.after(error.__cause__, 'tflite_int8', network) from error


class _Unconvertible(Exception):
    """TFLite's converter has failed, for which it has no error of its own."""


def _converted(converter):
    try:
        return converter.convert()
    except Exception as error:
        raise _Unconvertible from error


def _converter(network, batch=None):
    function = subject.signature(network, batch).get_concrete_function()
    # The converter saves what holds the function's variables and tables. Of a Keras model it would save each layer's
    # own functions as well, which takes ten seconds for an LSTM.
    holder = tf.Module()
    holder.held = [*function.graph.variables, *(node for node in tf.train.TrackableView(network).descendants()
                                                if isinstance(node, tf.saved_model.experimental.TrackableResource))]
    return tf.lite.TFLiteConverter.from_concrete_functions([function], holder)


def fixed_batch(content):
    """int, the batch size that a TFLite file is made for, or None if it takes any."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph = model.subgraphs[0]
    shapes = [graph.tensors[number] for number in graph.inputs]
    sizes = {int((tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature)[0]) for tensor in shapes}
    return max(sizes) if min(sizes) > 0 else None


def weights(content):
    """The weights in a TFLite file, sparse or not: arrays, laid out as in Keras, in the order of the operators."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    found = []
    for graph in model.subgraphs:
        for operator, tensor, axes in _weighted(model, graph, _TO_KERAS):
            values = _shifted(model, tensor)
            found.append(values.transpose(axes) if axes else values)
        for operator in graph.operators:
            if _code(model, operator) == _OPERATOR.UNIDIRECTIONAL_SEQUENCE_LSTM:
                found += [np.concatenate([_shifted(model, graph.tensors[operator.inputs[gate]]).T for gate in gates], 1)
                          for gates in _OF_LSTM]
    return found


def constants(content):
    """All constant arrays in a TFLite file that may be weights, laid out as they are there."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    return [_shifted(model, tensor) for graph in model.subgraphs for tensor in graph.tensors
            if tensor.type in _DTYPES and _is_constant(model, tensor)]


def sparse(content):
    """Leaves out the zeros of a dense TFLite file's weights.

    A weight becomes its survivors and their places, in the sparse encoding of the format, wherever that is smaller:
    all dimensions but one dense, and along that one, whichever is best, a place of one or two bytes per survivor. A
    float32 fully-connected layer with few survivors goes by rows and is run as it is by the runtime's sparse kernel; so
    is a 1x1 convolution, as the fully-connected layer of each place that it is. For any other weight an operator
    `Densify` makes the dense tensor when the file is loaded, and dense kernels run. Names that nobody asks for are left
    out too.

    TensorFlow's own converter (`tf.lite.Optimize.EXPERIMENTAL_SPARSITY`) prefers blocks of 1 x 4, which take twice the
    bytes where survivors lie at random.

    Source: the comment on SparsityParameters in TFLite's schema.fbs.

    Args:
      content: bytes of a TFLite file.

    Returns:
      bytes of a TFLite file that computes the same.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    densify_code = _operator_code(model, schema.BuiltinOperator.DENSIFY)
    # Under an older version XNNPACK would take the layer, and the survivors for the dense tensor.
    sparse_code = _operator_code(model, schema.BuiltinOperator.FULLY_CONNECTED, _SPARSE_VERSION)
    # Loops, which are graphs of their own, stay as they are.
    graph = model.subgraphs[0]
    before = []
    for operator, tensor, _ in _weighted(model, graph, _ENCODED):
        if _is_read_elsewhere(model, graph, tensor):
            continue
        values = _values(model, tensor)
        few = values.dtype == np.float32 and np.count_nonzero(values) < _few(graph, operator, values) * values.size
        if few:
            values = values.reshape(len(values), -1)
            tensor.shape = list(values.shape)
        sparsity, survivors = _encode(values, [1] if few else range(values.ndim))
        if sparsity is None:
            continue
        model.buffers[tensor.buffer].data = np.frombuffer(survivors.tobytes(), np.uint8)
        tensor.sparsity = sparsity
        if few:
            operator.opcodeIndex = sparse_code
            _make_fully_connected(operator)
            continue
        dense = schema.TensorT()
        dense.shape, dense.type, dense.quantization = tensor.shape, tensor.type, tensor.quantization
        dense.hasRank = True
        # Buffer 0 is empty by convention: a tensor without content of its own.
        dense.buffer = 0
        graph.tensors.append(dense)
        densify = schema.OperatorT()
        densify.opcodeIndex = densify_code
        densify.inputs, densify.outputs = [operator.inputs[1]], [len(graph.tensors) - 1]
        densify.builtinOptionsType, densify.builtinOptions = (
            schema.BuiltinOptions.DensifyOptions, schema.DensifyOptionsT())
        operator.inputs[1] = len(graph.tensors) - 1
        before.append(densify)
    graph.operators = before + graph.operators
    _leave_out_names(model, graph)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _few(graph, operator, values):
    """The share of survivors below which the sparse kernel is the faster one for a layer; 0 if it cannot run it."""
    options = operator.builtinOptions
    if isinstance(options, schema.FullyConnectedOptionsT):
        return _FEW
    # The weight of a layer that is called twice has become a matrix by the first call.
    of_each_place = (isinstance(options, schema.Conv2DOptionsT) and values.shape[1:-1] in ((1, 1), ())
                     and options.strideH == options.strideW == 1
                     and graph.tensors[operator.inputs[0]].shape[-1] == values.shape[-1])
    return _FEW_OF_PLACES if of_each_place else 0


def _make_fully_connected(operator):
    """Gives a 1x1 convolution the options of a fully-connected layer that runs on each place by itself."""
    if isinstance(operator.builtinOptions, schema.Conv2DOptionsT):
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.FullyConnectedOptions, options


def _operator_code(model, operator, version=1):
    """Adds an operator to those of a model; returns its index."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _leave_out_names(model, graph):
    for number, tensor in enumerate(graph.tensors):
        if number not in (*graph.inputs, *graph.outputs):
            tensor.name = None
    for entry in model.metadata or ():
        model.buffers[entry.buffer].data = None
    model.metadata = None


def _code(model, operator):
    return model.operatorCodes[operator.opcodeIndex].builtinCode


def _is_constant(model, tensor):
    return model.buffers[tensor.buffer].data is not None


def _weighted(model, graph, codes):
    """Yields (operator, its weight tensor, the axes that make it Keras's) where the weights are a constant."""
    encoded = {operator.outputs[0]: operator.inputs[0] for operator in graph.operators
               if _code(model, operator) == _OPERATOR.DENSIFY}
    for operator in graph.operators:
        code = _code(model, operator)
        if code in codes:
            place, axes = _TO_KERAS[code]
            number = operator.inputs[place]
            tensor = graph.tensors[encoded.get(number, number)]
            if tensor.type in _DTYPES and _is_constant(model, tensor):
                yield operator, tensor, axes


def _is_read_elsewhere(model, graph, tensor):
    """Whether something reads a weight that would not understand it without its zeros, such as a tied embedding."""
    for other in graph.tensors:
        if other is not tensor and other.buffer == tensor.buffer:
            return True
    readers = [(operator, place) for operator in graph.operators for place, number in enumerate(operator.inputs)
               if number >= 0 and graph.tensors[number] is tensor]
    return any(_code(model, operator) not in _ENCODED + (_OPERATOR.DENSIFY,) or
               (place != 1 and _code(model, operator) != _OPERATOR.DENSIFY) for operator, place in readers)


def _values(model, tensor):
    """The array of a constant tensor; the inverse of `_encode` where it is sparse."""
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(_DTYPES[tensor.type])
    if tensor.sparsity is None:
        return data.reshape(tensor.shape)
    order, last = tensor.sparsity.traversalOrder, tensor.sparsity.dimMetadata[-1]
    shape = [tensor.shape[axis] for axis in order]
    values = np.zeros((int(np.prod(shape[:-1])), shape[-1]), data.dtype)
    rows = np.repeat(np.arange(len(values)), np.diff(np.asarray(last.arraySegments.values, np.int64)))
    values[rows, np.asarray(last.arrayIndices.values, np.int64)] = data
    return values.reshape(shape).transpose(np.argsort(order))


def _shifted(model, tensor):
    """The array of a constant tensor; of int8 the whole numbers that stand for zero are 0."""
    values, quantization = _values(model, tensor), tensor.quantization
    if values.dtype != np.int8 or quantization is None or quantization.zeroPoint is None:
        return values
    # Where there are several, of as many channels, all of them are 0.
    return values.astype(np.int16) - int(quantization.zeroPoint[0])


def _encode(values, axes):
    """The smallest encoding of an array that is sparse along one of some axes.

    Returns:
      (SparsityParametersT, its survivors in their order); (None, None) where none is smaller than the array itself.
    """
    best, size = (None, None), values.nbytes
    for axis in reversed(axes):
        order = [*(other for other in range(values.ndim) if other != axis), axis]
        rows = values.transpose(order).reshape(-1, values.shape[axis])
        kept = rows != 0
        segments, places = np.append(0, np.cumsum(kept.sum(axis=1))), np.nonzero(kept)[1]
        (segments_type, segments), (places_type, places) = _vector(segments), _vector(places)
        bytes_needed = segments.values.nbytes + places.values.nbytes + int(kept.sum()) * values.itemsize
        if bytes_needed < size:
            dimensions = [schema.DimensionMetadataT() for _ in order]
            for dimension, each in zip(dimensions, order, strict=True):
                dimension.denseSize = values.shape[each]
            last = dimensions[-1]
            last.format, last.denseSize = schema.DimensionType.SPARSE_CSR, 0
            last.arraySegmentsType, last.arraySegments = segments_type, segments
            last.arrayIndicesType, last.arrayIndices = places_type, places
            sparsity = schema.SparsityParametersT()
            sparsity.traversalOrder, sparsity.dimMetadata = order, dimensions
            best, size = (sparsity, rows[kept]), bytes_needed
    return best


def _vector(numbers):
    """Whole numbers in the smallest vector of the format: (its type, the vector)."""
    largest = int(numbers.max()) if numbers.size else 0
    _, kind, make, dtype = next(row for row in _PLACES if largest < row[0])
    vector = make()
    vector.values = numbers.astype(dtype)
    return kind, vector
