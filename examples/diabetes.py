"""Regression: how a disease progresses within a year, from ten numbers of a patient (442 patients, in scikit-learn).

    python examples/diabetes.py
"""

import sklearn.datasets
import tf_keras

import tf_lottery


def build(seed):
    """A small multilayer perceptron; Keras's initialisers follow the seed."""
    model = tf_keras.Sequential([
        tf_keras.layers.Dense(100, 'relu', input_shape=(10,)), tf_keras.layers.Dropout(0.2),
        tf_keras.layers.Dense(50, 'relu'), tf_keras.layers.Dense(1)])
    model.compile(tf_keras.optimizers.Adam(2e-3), 'mse', metrics=['mae'])
    return model


def examples():
    """The patients in the order of the data set, which is none; the first 342 are trained on."""
    inputs, targets = sklearn.datasets.load_diabetes(return_X_y=True)
    inputs = inputs / inputs.std()
    return {'train': (inputs[:342], targets[:342] / 100), 'test': (inputs[342:], targets[342:] / 100)}


# The targets lie between 25 and 346; the network predicts hundredths.
task = tf_lottery.KerasTask(build, examples, early_stop='validation_mae', measures=(
    tf_lottery.Measure('mae', 'mean absolute error', 'points of progression', scale=100, digits=1),))

if __name__ == '__main__':
    results = tf_lottery.run(
        task, 'runs/diabetes', length='1000it', batch_size=32, evaluate_every='50it', levels=5, fraction=0.4,
        rewind_to='50it', branches=('ticket', 'random_reinit', 'random_mask'), replicates=2)
    print(results.groupby(['branch', 'level'])['final_test_mae'].mean().unstack('branch'))
