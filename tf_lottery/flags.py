"""The flags of the command line, and the config that --config names."""

import difflib
import os

from absl import flags
from ml_collections import config_flags

from tf_lottery import command, configs
from tf_lottery.errors import CorruptFileError, UsageError, in_one_line
from tf_lottery.experiment import config
from tf_lottery.experiment.config_file import ConfigFile
from tf_lottery.runtime import clusters, storage

# --help shows the flags of the program that was started; they count as that one's.
flags.disclaim_key_flags()


def define_flags(values=flags.FLAGS):
    """Defines the flags on `values`, an absl FlagValues."""
    on = {'flag_values': values}
    config_flags.DEFINE_config_file(
        'config', None, 'The experiment: the name of one that ships, such as mnist_lenet or cifar10_resnet20:low, or a '
        'file of your own; --config.KEY=VALUE changes a key of it.', **on)
    values['config'].parser = _Config()
    values.set_default('config', 'digits_lenet')
    flags.DEFINE_enum(
        'mode', 'run', command.MODES, 'run: train what is missing, report and export; plan: say what that is and what '
        'it costs; report: draw the report again, or compare the experiments that --workdir holds; export: write a '
        'ticket in --config.export.forms.', **on)
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
        'examples_per_second', None, 'mode=plan: how many examples are trained on per second, to plan for another '
        'machine.', lower_bound=0.001, **on)
    flags.DEFINE_integer(
        'level', None, 'mode=export: the level; the default is that of the smallest winning ticket, or, where there is '
        'none, of the one that ends best; or see --config.export.within_points.', lower_bound=0, **on)
    flags.DEFINE_string(
        'branch', 'ticket', 'mode=export: whose network, as in random_mask; of several copies the first one, or '
        'another, as in random_reinit:2.', **on)
    flags.DEFINE_string(
        'rewind_to', None, 'mode=export, where an experiment rewinds to several steps: which, as in 500it.', **on)
    flags.DEFINE_integer(
        'replicate', None, 'mode=run and plan: only this replicate; the default is every one that no other job trains. '
        'mode=export: the replicate; the default is the first whose run has finished.', lower_bound=0, **on)
    flags.DEFINE_enum(
        'weights', 'trained', ['trained', 'rewound'], 'mode=export: the network as trained to the end, or as it '
        'starts, rewound to step k.', **on)
    flags.DEFINE_bool('version', False, 'Print the version, and do nothing else.', **on)


class _Config(ConfigFile):
    """Reads the config that a name of those that ship, or a path, stands for; either may end in an arm, as in NAME:ARM.
    """

    def parse(self, wish):
        name, *arm = wish.split(':', 1)
        path = configs.FILES.get(name, name)
        if not os.path.isfile(path):
            raise UsageError(_unknown(name))
        return _of_folder(path) if path.endswith('.json') else super().parse(':'.join([path, *arm]))


def _of_folder(path):
    """The config that an experiment has in its folder, as its config.json.

    Raises:
      UsageError: the file holds something else.
    """
    try:
        stored = storage.read_json(path)['config']
        settings = config.restored(stored)
    except (CorruptFileError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f'{path} is no config.json of an experiment ({in_one_line(error)}): give that of its folder, '
                         'or a config file.') from error
    settings.lock()
    return settings


def _unknown(name):
    """Says what to write instead of a name of no config and no file."""
    stem = os.path.basename(name).removesuffix('.py')
    near = difflib.get_close_matches(stem, configs.FILES, 1)
    remedy = f'did you mean {near[0]!r}?' if near else (
        f'choose one of {", ".join(configs.FILES)}, or give the path of a file of your own.')
    return f'--config is {name!r}, which is neither a file nor the name of a config that ships: {remedy}'
