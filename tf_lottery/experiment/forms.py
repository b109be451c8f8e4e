"""The forms in which a ticket can be exported; no TensorFlow here, so that a config is checked without it."""

# Each form and its file or folder in the folder of an export; a SavedModel is the folder itself.
FORMS = {
    'saved_model': '.',
    'tflite': 'model.tflite',
    'tflite_sparse': 'model_sparse.tflite',
    'tflite_int8': 'model_int8.tflite',
    'ticket': 'rewound.ticket',
}
