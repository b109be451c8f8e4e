"""The CIFAR network of 20 layers (He et al., 1512.03385) that the convolutional measurements run on."""

import tf_keras


def build(seed=0, precision='float32'):
    """Images [n, 32, 32, 3] to float32 logits [n, 10]."""
    former = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(precision)
    try:
        return _build(seed)
    finally:
        tf_keras.mixed_precision.set_global_policy(former)


def _build(seed):
    layers = tf_keras.layers

    def convolution(inputs, filters, strides=1, size=3):
        nonlocal seed
        seed += 1
        return layers.Conv2D(filters, size, strides, padding='same', use_bias=False,
                             kernel_initializer=tf_keras.initializers.GlorotNormal(seed=seed))(inputs)

    images = tf_keras.Input([32, 32, 3])
    outputs = layers.ReLU()(layers.BatchNormalization()(convolution(images, 16)))
    for filters in (16, 32, 64):
        for block in range(3):
            strides = 2 if filters > 16 and block == 0 else 1
            shortcut = outputs if strides == 1 else convolution(outputs, filters, strides, size=1)
            inner = layers.ReLU()(layers.BatchNormalization()(convolution(outputs, filters, strides)))
            inner = layers.BatchNormalization()(convolution(inner, filters))
            outputs = layers.ReLU()(layers.Add()([inner, shortcut]))
    logits = layers.Dense(10)(layers.GlobalAveragePooling2D()(outputs))
    return tf_keras.Model(images, layers.Activation('linear', dtype='float32')(logits))
