"""Lenet on MNIST trained by SGD, which finds tickets down to smaller densities than Adam.

Paper     The Lottery Ticket Hypothesis (1803.03635), appendix G.1: SGD at 0.4 and 0.8 trains best
Command   python main.py --config=configs/mnist_lenet_sgd.py
Cost      --mode=plan says what it is on your machine
Expected  Tickets as fast as the dense network below 1 % of the weights, where Adam's end at about 3.6 %.
"""

from configs import mnist_lenet


def get_config():
    config = mnist_lenet.get_config()
    config.name = 'mnist_lenet_sgd'
    config.training.optimizer = 'sgd'
    config.training.learning_rate = 0.8
    config.replicates = 3
    return config
