"""What becomes of the weights that a mask keeps, and of those that it prunes: Lenet on MNIST, and masks alone.

Paper     Deconstructing Lottery Tickets (1905.01067), sections 3 and 4, and "mask" in the table of section 5
Command   python main.py --config=configs/mnist_actions.py
Cost      23.25 million steps: about 8.1 hours at the 795 steps/s that 2 CPU cores reached (docs/performance.md)
Expected  With the signs of the initial weights kept, new draws, reshuffled weights and constants train as well as the
          rewound ones; without them they do not (section 3). Pruned weights frozen at their initial values are worse
          than zeros, and those frozen by the direction in which they moved no worse (section 4). The mask alone is far
          better than chance: about 80 % on MNIST, 86 % on signed constants (section 5; the best of all densities).
"""

from tf_lottery.configs import mnist_lenet


def get_config():
    config = mnist_lenet.get_config()
    config.name = 'mnist_actions'
    config.branches = ('ticket', 'random_reinit', 'random_reinit_signs', 'reshuffled', 'reshuffled_signs', 'constant',
                       'constant_signs', 'frozen', 'frozen_by_direction', 'untrained', 'untrained_constant')
    config.reinits = 1
    return config
