"""A network as a SavedModel, which TensorFlow alone serves and `tf_keras.models.load_model` reads for fine-tuning."""

import tensorflow as tf


def write(subject, folder):
    """Writes a SavedModel of dynamic batch size.

    An image classifier (a subject that says which pixel value is the brightest) has the signatures
      serving_default  `image` float32 [n, height, width, channels], pixel values divided by the brightest;
      serving_images   `image` uint8 [n, height, width, channels], pixel values as they are;
      serving_jpeg     `image_bytes` string [n], JPEG, PNG, GIF or BMP files, resized to the network's size; where 255
                       is the brightest,
    each with the outputs `logits` and `probabilities` float32 [n, classes] and `label` int64 [n]. Any other network has
    `serving_default` from `inputs` to `outputs`.

    Args:
      subject: subject.Subject.
      folder: str, a local folder.
    """
    subject.network.save(folder, save_format='tf', include_optimizer=False, signatures=_signatures(subject))


def _signatures(subject):
    network, brightest = subject.network, subject.brightest
    shape, dtype = network.input_shape[1:], network.inputs[0].dtype

    if brightest is None:
        @tf.function(input_signature=[tf.TensorSpec([None, *shape], dtype, name='inputs')])
        def outputs(inputs):
            return {'outputs': network(inputs, training=False)}

        return {'serving_default': outputs}

    def classify(inputs):
        logits = network(inputs, training=False)
        return {'logits': logits, 'probabilities': tf.nn.softmax(logits), 'label': tf.argmax(logits, axis=-1)}

    @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.float32, name='image')])
    def inputs(image):
        return classify(image)

    @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.uint8, name='image')])
    def images(image):
        return classify(tf.cast(image, tf.float32) / brightest)

    # The name ends as TensorFlow Serving wants it of what a REST client sends in base64.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='image_bytes')])
    def files(image_bytes):
        def decode(content):
            image = tf.cast(tf.io.decode_image(content, channels=shape[-1], expand_animations=False), tf.float32)
            return tf.ensure_shape(tf.image.resize(image, shape[:2], antialias=True), shape)

        return classify(tf.map_fn(decode, image_bytes, fn_output_signature=tf.float32) / brightest)

    signatures = {'serving_default': inputs, 'serving_images': images}
    return {**signatures, 'serving_jpeg': files} if brightest == 255 else signatures
