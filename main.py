"""Finds winning tickets: one command from a config to a table, a picture and a SavedModel.

    python main.py                                              IMP on handwritten digits, nothing to download
    python main.py --config=configs/mnist_lenet.py --mode=plan  what it would train, and what that costs
    python main.py --config=configs/mnist_lenet.py --workdir=runs/lenet --config.pruning.fraction=0.1
"""

import os
import shlex
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from tf_lottery import clusters, command
from tf_lottery.errors import UsageError

_HERE = os.path.dirname(os.path.abspath(__file__))

FLAGS = flags.FLAGS


def define_flags(values=FLAGS):
    """Defines the flags on `values`, an absl FlagValues."""
    on = {'flag_values': values}
    config_flags.DEFINE_config_file(
        'config', os.path.join(_HERE, 'configs', 'digits_lenet.py'),
        'The experiment, a file of configs/; --config.KEY=VALUE changes a key of it.', lock_config=True, **on)
    flags.DEFINE_enum(
        'mode', 'run', command.MODES, 'run: train what is missing, report and export; plan: say what that is and what '
        'it costs; report: draw the report again; export: write a ticket in --config.export.forms.', **on)
    flags.DEFINE_string(
        'workdir', None, 'Folder of the experiment, local or gs://; the default is runs/ and its name. The same '
        'command resumes.', **on)
    flags.DEFINE_string(
        'data_dir', None, 'Folder of the TFDS data sets; the default is TFDS_DATA_DIR, else that of TFDS.', **on)
    flags.DEFINE_string(
        'strategy', 'auto', 'tf.distribute strategy: auto, one_device, mirrored, multi_worker or tpu.', **on)
    flags.DEFINE_enum(
        'cluster', 'auto', clusters.CLUSTERS, 'Where multi_worker finds its hosts: in TF_CONFIG, in the Slurm step '
        '(srun), among the pods of Kubernetes, or in a group of instances of Compute Engine; auto: the first two.',
        **on)
    flags.DEFINE_integer(
        'workers', None, 'cluster=kubernetes or gce: how many hosts to wait for.', lower_bound=1, **on)
    flags.DEFINE_string(
        'pods', None, 'cluster=kubernetes: the label selector of the pods, as in job-name=lottery.', **on)
    flags.DEFINE_string('instances', None, 'cluster=gce: the group of instances, PROJECT/ZONE/GROUP.', **on)
    flags.DEFINE_integer(
        'port', 8470, 'cluster=slurm, kubernetes or gce: where workers listen.', lower_bound=1024, upper_bound=65535,
        **on)
    flags.DEFINE_string('tpu', None, 'strategy=tpu: local on a TPU VM, or the name of a Cloud TPU.', **on)
    flags.DEFINE_integer(
        'cpu_devices', 1, 'Virtual devices to split the CPU into, to rehearse --strategy=mirrored.', lower_bound=1,
        **on)
    flags.DEFINE_enum(
        'jit', 'auto', ['auto', 'on', 'off'], 'Whether XLA compiles training; auto: where it pays.', **on)
    flags.DEFINE_bool(
        'tensorboard', False, 'Also write TensorBoard logs, to the folder tensorboard in the workdir.', **on)
    flags.DEFINE_float(
        'images_per_second', None, 'mode=plan: how many images are trained on per second, to plan for another machine.',
        lower_bound=0.001, **on)
    flags.DEFINE_integer(
        'level', None, 'mode=export: the level; the default is that of the smallest winning ticket, or where there is '
        'none of the most accurate one; or see --config.export.within_points.', lower_bound=0, **on)
    flags.DEFINE_string(
        'rewind_to', None, 'mode=export, where an experiment rewinds to several steps: which, as in 500it.', **on)
    flags.DEFINE_integer(
        'replicate', None, 'mode=run and plan: only this replicate; the default is every one that no other job trains. '
        'mode=export: the replicate; the default is 0.', lower_bound=0, **on)
    flags.DEFINE_enum(
        'weights', 'trained', ['trained', 'rewound'], 'mode=export: the ticket as trained to the end, or as it starts, '
        'rewound to step k.', **on)


def main(argv):
    if len(argv) > 1:
        raise UsageError(f'{argv[1]!r} is not a flag: settings are written as --config.training.length=500it.')
    # absl prints INFO messages unless it is told otherwise; between the lines of a progress bar they are noise.
    if not FLAGS['verbosity'].present:
        logging.set_verbosity(logging.WARNING)
    command.run(FLAGS, ' '.join(['python', *map(shlex.quote, sys.argv)]))


if __name__ == '__main__':
    with command.flag_errors():
        define_flags()
    app.run(lambda argv: sys.exit(command.in_one_sentence(lambda: main(argv))),
            flags_parser=lambda argv: command.parse_flags(FLAGS, argv))
