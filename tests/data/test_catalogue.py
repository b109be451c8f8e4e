"""Any data set of TFDS: what its files say of it, what is refused, and the same images in memory and streamed."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import prepared
import pytest
import tensorflow as tf

from tf_lottery import data
from tf_lottery.data import catalogue, jpeg
from tf_lottery.data.augmentation import crop_and_flip
from tf_lottery.data.streaming import ImageStream, splits
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config

TFDS = pathlib.Path(os.environ.get('TFDS_DATA_DIR', ''))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tfds')
    prepared.prepare(folder)
    return str(folder)


@pytest.fixture
def without_network(monkeypatch):
    # A proxy that refuses stands for a machine without a network.
    for variable in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'):
        monkeypatch.setenv(variable, 'http://127.0.0.1:9')


def settings(kind, **changes):
    chosen = config.defaults().data
    chosen.name = f'tfds:pictures/{kind}'
    chosen.update(changes)
    return chosen


def refused(action, *arguments):
    with pytest.raises(UsageError) as error:
        action(*arguments)
    return str(error.value)


@pytest.mark.parametrize('name', ['mnist', 'fashion_mnist', 'cifar10'])
def test_a_papers_data_set_is_described_by_its_files_as_by_us(name):
    if not os.environ.get('TFDS_DATA_DIR') or not (TFDS / name).is_dir():
        pytest.skip(f'TFDS_DATA_DIR names no folder that holds {name}')
    ours, (version,) = data.describe(name), os.listdir(TFDS / name)
    for reference in (f'tfds:{name}', f'tfds:{name}:{version}'):
        found = data.describe(reference)
        assert [(each.train, each.test, each.shape, each.classes, each.brightest, each.streamed, each.splits)
                for each in (found, ours)] == 2 * [(ours.train, 10_000, ours.shape, 10, 255, False, ('train', 'test'))]
        assert (found.validation, found.folder) == (ours.train // 10, f'{TFDS}/{name}/{version}')


def test_imagenet_by_its_name_in_tfds_is_read_as_by_ours():
    if not os.environ.get('TFDS_DATA_DIR') or not (TFDS / 'imagenet2012').is_dir():
        pytest.skip('TFDS_DATA_DIR names no folder that holds imagenet2012')
    streams = [ImageStream('train', 63, 16, name=name) for name in ('imagenet2012', 'tfds:imagenet2012')]
    for left, right in zip(*(stream.training(1, 2, 5, 8).as_numpy_iterator() for stream in streams), strict=True):
        assert all(np.array_equal(left[key], right[key]) for key in left)


def test_what_the_files_say(folder):
    assert data.describe('tfds:pictures/grey', folder) == data.Description(
        50, 12, (9, 7, 1), 3, 255, 5, features=('picture', 'kind'), folder=f'{folder}/pictures/grey/1.2.0')
    # The first config is the default one.
    assert data.describe('tfds:pictures', folder) == data.describe('tfds:pictures/grey:1.2.0', folder)
    # No supervised keys, and no split test.
    halves = data.describe('tfds:pictures/halves', folder)
    assert (halves.features, halves.splits, halves.test) == (('picture', 'kind'), ('train', 'validation'), 10)
    # A fifth of the only split, less a fraction of an example, is the test set.
    alone = data.describe('tfds:pictures/alone', folder)
    assert (alone.train, alone.test, alone.splits, alone.validation) == (17, 4, ('train[:17]', 'train[17:]'), 1)
    sizes = data.describe('tfds:pictures/sizes', folder)
    assert (sizes.shape, sizes.streamed, sizes.varying) == ((None, None, 3), True, True)


def test_what_is_there_is_described_without_tensorflow(folder):
    code = ("import sys; from tf_lottery import data; print(data.describe('tfds:pictures/halves', sys.argv[1]).test, "
            "{'tensorflow', 'tensorflow_datasets'} & set(sys.modules))")
    done = subprocess.run([sys.executable, '-c', code, folder], capture_output=True, text=True, check=True)
    assert done.stdout == '10 set()\n'


def test_the_latest_version_is_meant(folder, tmp_path):
    for version in ('1.2.0', '1.10.0'):
        shutil.copytree(f'{folder}/pictures/grey/1.2.0', tmp_path / 'pictures' / version)
    assert data.describe('tfds:pictures', str(tmp_path)).folder == f'{tmp_path}/pictures/1.10.0'
    assert data.describe('tfds:pictures:1.2.0', str(tmp_path)).folder == f'{tmp_path}/pictures/1.2.0'


def test_a_description_in_the_words_of_older_versions_is_read_by_tfds(folder, tmp_path):
    to = tmp_path / 'pictures' / '1.2.0'
    shutil.copytree(f'{folder}/pictures/grey/1.2.0', to)
    (to / 'features.json').write_text(json.dumps({
        'type': 'tensorflow_datasets.core.features.features_dict.FeaturesDict', 'content': {
            'picture': {'type': 'tensorflow_datasets.core.features.image_feature.Image',
                        'content': {'shape': [9, 7, 1], 'dtype': 'uint8', 'encoding_format': 'png'}},
            'kind': {'type': 'tensorflow_datasets.core.features.class_label_feature.ClassLabel',
                     'content': {'num_classes': 3}}}}))
    assert data.describe('tfds:pictures', str(tmp_path)).shape == (9, 7, 1)


@pytest.mark.parametrize(('kind', 'sentence'), [
    ('no_train', 'tfds:pictures/no_train has no split train, but full: choose a data set that has one.'),
    ('ordered', 'tfds:pictures/ordered has no split test, and the records of its split train are not shuffled, so that '
                'no part of them can test: prepare it with a split test.'),
    ('deep', 'images of tfds:pictures/deep are uint16 of shape (8, 8, 1): choose a data set whose images are uint8 of '
             'shape (height, width, channels), channels a number.'),
    ('pairs', 'tfds:pictures/pairs is not of one image and one class label each, but of kind (ClassLabel), other '
              '(Image), picture (Image): choose a data set that has one Image and one ClassLabel.'),
    ('numbers', 'tfds:pictures/numbers is not of one image and one class label each, but of kind (Tensor), picture '
                '(Image): choose a data set that has one Image and one ClassLabel.')])
def test_what_is_no_image_with_a_label_is_refused(folder, kind, sentence):
    assert refused(data.describe, f'tfds:pictures/{kind}', folder) == sentence


@pytest.mark.parametrize(('reference', 'sentence'), [
    ('tfds:', "data.name is 'tfds:': give tfds:NAME, tfds:NAME/CONFIG or tfds:NAME/CONFIG:VERSION, as in "
              'tfds:kmnist:3.0.1.'),
    ('tfds:mnist:latest', "data.name is 'tfds:mnist:latest': give tfds:NAME, "),
    ('tfds:kmnst', 'tfds:kmnst is not in {folder}, and TFDS knows no data set of this name: did you mean '
                   "'tfds:kmnist'?"),
    ('tfds:qwertyuiop', 'tfds:qwertyuiop is not in {folder}, and TFDS knows no data set of this name: choose one of '
                        'its catalogue, or point --data_dir or TFDS_DATA_DIR at a folder that holds it.'),
    ('tfds:mnist/nothing', 'TFDS cannot open tfds:mnist/nothing ('),
    ('tfds:mnist:2.0.0', 'TFDS cannot open tfds:mnist:2.0.0 ('),
    # Before anything of it is downloaded.
    ('tfds:imdb_reviews', 'tfds:imdb_reviews is not of one image and one class label each, but of label (ClassLabel), '
                          'text (Text): choose'),
    ('tfds:kmnist', 'kmnist is not in {folder}/kmnist/3.0.1 and could not be downloaded (')])
def test_what_cannot_be_had_is_told(without_network, tmp_path, reference, sentence):
    assert refused(catalogue.fetch if sentence[:4] != 'data' else data.describe, reference, str(tmp_path)).startswith(
        sentence.format(folder=tmp_path))


def test_what_is_not_there_is_fetched_by_another_process(without_network, tmp_path):
    code = ("import sys; from tf_lottery import data; from tf_lottery.errors import UsageError\ntry:\n    "
            "data.describe('tfds:kmnist', sys.argv[1])\nexcept UsageError as error:\n    "
            "print(error, {'tensorflow', 'tensorflow_datasets'} & set(sys.modules))")
    done = subprocess.run([sys.executable, '-c', code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f'kmnist is not in {tmp_path}/kmnist/3.0.1 and could not be downloaded (')
    assert done.stdout.endswith('holds kmnist. set()\n')


def test_a_data_set_of_the_folder_that_tfds_does_not_know_says_what_it_has(folder, tmp_path):
    (tmp_path / 'my_images' / 'large' / '1.0.0').mkdir(parents=True)
    assert refused(catalogue.fetch, 'tfds:my_images/small', str(tmp_path)) == (
        f'tfds:my_images/small is not in {tmp_path}/my_images, which holds large: give a config and a version that are '
        'there.')
    assert refused(catalogue.fetch, 'tfds:my_image', str(tmp_path)).endswith("did you mean 'tfds:my_images'?")


def test_a_data_set_whose_files_are_got_by_hand_is_not_downloaded(tmp_path):
    assert refused(catalogue.fetch, 'tfds:imagenet2012', str(tmp_path)) == (
        f'imagenet2012 is not in {tmp_path}/imagenet2012/5.1.0: prepare it there with TFDS, or point --data_dir or '
        'TFDS_DATA_DIR at a folder that holds imagenet2012.')


@pytest.mark.parametrize('content', ['{', '[]', '{"splits": [{"name": 3, "shardLengths": ["x"]}]}'])
def test_a_damaged_description_is_named(folder, tmp_path, content):
    to = tmp_path / 'pictures' / '1.2.0'
    shutil.copytree(f'{folder}/pictures/grey/1.2.0', to)
    (to / 'dataset_info.json').write_text(content)
    sentence = refused(data.describe, 'tfds:pictures', str(tmp_path))
    assert sentence.startswith(f'tfds:pictures in {to} is damaged (')


def by_content(images, labels):
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def stored(kind, split):
    """The examples that were put into a split, by content."""
    numbers = range(prepared.KINDS[kind][2][split])
    return by_content([prepared.image(kind, split, number) for number in numbers], [number % 3 for number in numbers])


def test_images_and_labels_are_those_that_were_put_in(folder):
    loaded = data.load('tfds:pictures/grey', data_dir=folder)
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (45, 5, 12)
    assert loaded.train.images.dtype == np.uint8 and loaded.train.labels.dtype == np.int32
    assert by_content(loaded.test.images, loaded.test.labels) == stored('grey', 'test')
    both = [np.concatenate(pair) for pair in zip(
        *((split.images, split.labels) for split in (loaded.train, loaded.validation)), strict=True)]
    assert by_content(*both) == stored('grey', 'train')


def test_a_share_of_the_only_split_tests(folder):
    loaded = data.load('tfds:pictures/alone', data_dir=folder)
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (16, 1, 4)
    every = [np.concatenate(each) for each in zip(*(
        (split.images, split.labels) for split in (loaded.train, loaded.validation, loaded.test)), strict=True)]
    assert by_content(*every) == stored('alone', 'train')


@pytest.mark.parametrize(('kind', 'size'), [('grey', None), ('sizes', 12)])
def test_an_export_is_verified_on_the_test_set_with_some_training_examples_beside_it(folder, kind, size):
    chosen = data.chosen(settings(kind, image_size=size), folder)
    for count, expected in ((3, 3), (500, chosen.train - 5)):
        train, test = data.examples(settings(kind, image_size=size), chosen, 5, count, folder)
        assert (len(train), len(test)) == (expected, chosen.test)
        assert train.images.shape[1:] == test.images.shape[1:] == chosen.shape


def test_a_test_set_without_labels_is_refused(folder, monkeypatch):
    sentence = ('tfds:pictures/unlabelled has images without a label (it is -1) in its split test: choose another data '
                'set, for no network can be judged on this one.')
    assert refused(data.load, 'tfds:pictures/unlabelled', None, folder) == sentence
    monkeypatch.setattr(catalogue, 'LARGEST_IN_MEMORY', 0)
    stream = ImageStream('test', 3, None, folder, 'tfds:pictures/unlabelled')
    with pytest.raises(tf.errors.InvalidArgumentError, match='an image without a label'):
        list(stream.evaluation())
    found = stream.unreadable_in_evaluation()
    assert isinstance(found, UsageError) and str(found) == sentence


@pytest.fixture
def streamed(folder, monkeypatch):
    """Opens a split of the grey images, which are too many."""
    monkeypatch.setattr(catalogue, 'LARGEST_IN_MEMORY', 62 * 63 - 1)
    chosen = data.chosen(settings('grey'), folder)
    assert chosen.streamed and not chosen.varying and chosen.shape == (9, 7, 1)
    names = splits(chosen, 10)
    assert names == {'train': 'train[10:]', 'validation': 'train[:10]', 'test': 'test'}
    return lambda split, batch: ImageStream(names[split], batch, chosen.shape[0], folder, 'tfds:pictures/grey')


def test_what_fits_exactly_is_in_memory(folder, monkeypatch):
    monkeypatch.setattr(catalogue, 'LARGEST_IN_MEMORY', 62 * 63)
    assert not data.describe('tfds:pictures/grey', folder).streamed


def test_what_is_too_large_is_streamed_as_it_is(streamed):
    held = [streamed(split, 1).first(50) for split in ('train', 'validation')]
    assert [len(split) for split in held] == [40, 10]
    assert by_content(*(np.concatenate(each) for each in zip(
        *((split.images, split.labels) for split in held), strict=True))) == stored('grey', 'train')
    test = streamed('test', 5).first(12)
    assert by_content(test.images, test.labels) == stored('grey', 'test')
    # Of an epoch each image once, whatever the step that it begins at.
    epoch = list(streamed('train', 8).training(1, 2, 0, 5).as_numpy_iterator())
    assert by_content(np.concatenate([step['image'] for step in epoch]),
                      np.concatenate([step['label'] for step in epoch])) == by_content(held[0].images, held[0].labels)
    later = list(streamed('train', 8).training(1, 2, 3, 5).as_numpy_iterator())
    assert all(np.array_equal(one[key], other[key]) for one, other in zip(later, epoch[3:], strict=True) for key in one)


def test_streamed_images_of_one_size_are_augmented_as_those_in_memory(streamed):
    stream = streamed('train', 8)
    plain, augmented = (list(stream.training(1, 2, 3, 5, **augmentation).as_numpy_iterator())
                        for augmentation in ({}, {'crop_pixels': 2, 'flip': True}))
    for step, (before, after) in enumerate(zip(plain, augmented, strict=True), 3):
        expected = crop_and_flip(tf.constant(before['image']), 2, True, tf.constant(2), tf.constant(step),
                                 tf.range(8), 8)
        assert np.array_equal(after['image'], expected) and not np.array_equal(after['image'], before['image'])


@pytest.mark.parametrize(('kind', 'channels'), [('sizes', 3), ('grey_sizes', 1)])
def test_images_of_any_size_are_cropped_and_resized(folder, kind, channels):
    stream = ImageStream('test', 3, 12, folder, f'tfds:pictures/{kind}')
    seen, number = stream.first(6), prepared.KINDS[kind][2]['test']
    expected = {jpeg.central_view_of_pixels(tf.constant(prepared.image(kind, 'test', place)), 12).numpy().tobytes()
                for place in range(number)}
    # Those that were put in as JPEG files have lost a little.
    exact = sum(image.tobytes() in expected for image in seen.images)
    assert seen.images.shape == (number, 12, 12, channels) and exact == (number // 2 if kind == 'sizes' else number)
    (batch,) = ImageStream('train', 9, 12, folder, f'tfds:pictures/{kind}').training(1, 2, 0, 1).as_numpy_iterator()
    assert batch['image'].shape == (9, 12, 12, channels) and batch['image'].std() > 10


@pytest.mark.parametrize('number', range(4))
def test_a_random_view_is_the_same_of_a_file_of_any_format(number):
    picture = tf.constant(prepared.image('sizes', 'train', 3))
    seeds = [tf.constant([7, number]), tf.constant([number, 1])]
    of_jpeg = jpeg.random_view(tf.io.encode_jpeg(picture, quality=100, chroma_downsampling=False), 12, *seeds)
    of_pixels = jpeg.random_view_of_pixels(picture, 12, *seeds)
    assert np.abs(of_jpeg.numpy().astype(int) - of_pixels.numpy()).max() < 6


@pytest.mark.parametrize(('kind', 'changes', 'sentence'), [
    ('sizes', {}, 'images of tfds:pictures/sizes vary in size: give data.image_size, the pixels per side that they are '
                  'resized to.'),
    ('sizes', {'image_size': 16, 'flip': True}, 'data.flip is True, which is for data sets that are of images of one '
                                                'size; tfds:pictures/sizes is of images of any size: leave it out.'),
    ('sizes', {'image_size': 16, 'train': 9}, 'data.train is 9, which is for data sets that are known by their '
                                              'published numbers; tfds:pictures/sizes is counted in its folder: leave '
                                              'it out.'),
    ('grey_sizes', {'image_size': 16, 'rand_augment': 1}, 'data.rand_augment is 1, whose operations are on three '
                                                          'colours; images of tfds:pictures/grey_sizes have 1: leave '
                                                          'it out.')])
def test_a_key_that_such_a_data_set_does_not_read_is_refused(folder, kind, changes, sentence):
    assert refused(data.chosen, settings(kind, **changes), folder) == sentence


def test_a_streamed_data_set_of_one_size_takes_no_size(streamed, folder):
    assert refused(data.chosen, settings('grey', image_size=16), folder) == (
        'data.image_size is 16, which is for data sets that are of images of any size; tfds:pictures/grey is of images '
        'of one size: leave it out.')
    assert data.chosen(settings('grey', flip=True, crop_pixels=2, mix_up=0.2), folder).streamed


def test_a_size_may_be_chosen(folder):
    assert data.chosen(settings('sizes', image_size=16), folder).shape == (16, 16, 3)


def test_a_whole_config_is_checked_in_the_data_folder(folder):
    chosen = config.defaults()
    chosen.data.name = 'tfds:pictures/grey'
    chosen.training.batch_size = 9
    assert config.check(chosen, folder).task.dataset == data.describe('tfds:pictures', folder)
    assert config.check(chosen, folder).shapes['fc1/kernel'] == (63, 300)
