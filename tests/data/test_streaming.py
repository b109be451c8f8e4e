"""Batches of ImageNet: functions of (seed, step), each image once per epoch, and damaged files named."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.data.streaming import ImageStream
from tf_lottery.errors import CorruptFileError, UsageError

SOURCE = pathlib.Path(os.environ.get('TFDS_DATA_DIR', ''), 'imagenet2012')
pytestmark = pytest.mark.skipif(not SOURCE.is_dir() or not os.environ.get('TFDS_DATA_DIR'),
                                reason='TFDS_DATA_DIR names no folder that holds imagenet2012')

# The sample: 441 training images, each of another class, so that its label names an image; and 53 to validate on.
TRAIN, VALIDATION = 441, 53
BATCH, EPOCH = 63, 7


def stream(split='train', batch=BATCH, size=16, **options):
    return ImageStream(split, batch, size, **options)


def batches(start, end, order=1, augmentation=2, **options):
    return list(stream(**options).training(order, augmentation, start, end).as_numpy_iterator())


def labels(steps):
    return np.concatenate([step['label'] for step in steps])


def same(left, right):
    return all(np.array_equal(one[key], other[key]) for one, other in zip(left, right, strict=True) for key in one)


def stored_labels(split):
    """The labels in the files themselves, one per record."""
    return [tf.train.Example.FromString(record.numpy()).features.feature['label'].int64_list.value[0]
            for path in sorted(SOURCE.glob(f'*/*-{split}.tfrecord-*')) for record in tf.data.TFRecordDataset(str(path))]


@pytest.fixture(scope='module')
def two_epochs():
    return batches(0, 2 * EPOCH)


def test_batches_have_static_shapes_and_say_where_they_stand(two_epochs):
    dataset = stream(hosts=3, host=1).training(1, 2, 5, 30)
    assert dataset.element_spec == {
        'image': tf.TensorSpec([21, 16, 16, 3], tf.uint8), 'label': tf.TensorSpec([21], tf.int32),
        'row': tf.TensorSpec([21], tf.int32), 'step': tf.TensorSpec([21], tf.int32)}
    assert dataset.cardinality() == 25
    assert stream().examples == TRAIN and stream().steps_per_epoch == EPOCH
    for number, batch in enumerate(two_epochs):
        assert np.array_equal(batch['row'], range(BATCH)) and set(batch['step']) == {number}
    # Pictures, not noise: their pixels use all values, and neighbours are alike.
    images = np.concatenate([batch['image'] for batch in two_epochs]).astype(int)
    assert images.min() == 0 and images.max() == 255
    assert np.abs(np.diff(images, axis=2)).mean() < images.std() / 2


def test_every_epoch_has_each_image_once_in_another_order_and_another_crop(two_epochs):
    first, second = two_epochs[:EPOCH], two_epochs[EPOCH:]
    assert sorted(labels(first)) == sorted(labels(second)) == sorted(stored_labels('train'))
    assert len(set(labels(first))) == TRAIN
    assert np.mean(labels(first) == labels(second)) < 0.05
    image = {label: image for batch in first for label, image in zip(batch['label'], batch['image'], strict=True)}
    assert not any(np.array_equal(image[label], other) for batch in second[:1]
                   for label, other in zip(batch['label'], batch['image'], strict=True))


def test_what_is_left_over_after_the_last_whole_batch_differs_by_epoch():
    # TFDS reads files in the order of their names: a shuffled epoch must not leave out the same ones each time.
    left = [set(range(1000)) - set(labels(batches(4 * epoch, 4 * epoch + 4, batch=100))) for epoch in range(2)]
    assert left[0] != left[1]


def test_resuming_gives_what_the_uninterrupted_run_would_have_seen(two_epochs):
    for start in (3, EPOCH - 1, EPOCH, EPOCH + 4):
        assert same(batches(start, 2 * EPOCH), two_epochs[start:])


def test_the_seeds_decide_and_tensorflows_own_does_not(two_epochs):
    tf.random.set_seed(17)
    try:
        assert same(batches(0, 2), two_epochs[:2])
    finally:
        tf.random.set_seed(None)
    reordered, recropped = batches(0, 2, order=3), batches(0, 2, augmentation=3)
    assert np.mean(labels(reordered) == labels(two_epochs[:2])) < 0.1
    assert np.array_equal(labels(recropped), labels(two_epochs[:2]))
    assert not np.array_equal(recropped[0]['image'], two_epochs[0]['image'])
    assert not same(batches(0, 1, order=0, augmentation=0), two_epochs[:1])


def test_mixed_batches_are_functions_of_seed_and_step_too(two_epochs):
    def mixed(start, host=0, hosts=1, **alphas):
        return list(stream(host=host, hosts=hosts).training(1, 2, start, 6, **alphas).as_numpy_iterator())

    both = mixed(0, mix_up=0.2, cut_mix=1.0)
    assert same(mixed(2, mix_up=0.2, cut_mix=1.0), both[2:])
    only = [mixed(0, **alpha) for alpha in ({'mix_up': 0.2}, {'cut_mix': 1.0})]
    # Every step does one of the two, and some do each.
    chosen = {tuple(np.array_equal(step['image'], alone['image']) for alone in each)
              for step, *each in zip(both, *only, strict=True)}
    assert chosen == {(True, False), (False, True)}
    assert np.array_equal(labels(both), labels(two_epochs[:6])) and both[0]['share'].dtype == np.float32
    for host in range(3):
        for step in mixed(0, host, 3, cut_mix=1.0)[:2]:
            assert set(step['other']) == set(step['label'])


def test_operations_have_a_seed_per_image_and_step(two_epochs):
    def inverse(image, seed):
        return tf.where(seed[1] % 2 == 0, image, 255 - image)

    def augmented(start):
        return list(stream().training(1, 2, start, 4, operations=inverse).as_numpy_iterator())

    inverted = [np.array_equal(image, 255 - other) for batch, whole in zip(augmented(0), two_epochs, strict=False)
                for image, other in zip(batch['image'], whole['image'], strict=True)]
    assert 0.4 < np.mean(inverted) < 0.6 and same(augmented(2), augmented(0)[2:])


@pytest.mark.parametrize('hosts', [3, 7])
def test_hosts_read_disjoint_shares_that_are_everything(hosts):
    shares = [batches(0, EPOCH, host=host, hosts=hosts) for host in range(hosts)]
    assert sorted(np.concatenate([labels(share) for share in shares])) == sorted(set(labels(batches(0, EPOCH))))
    rows = np.concatenate([share[0]['row'] for share in shares])
    assert np.array_equal(rows, range(BATCH))
    # Crops depend on the place in the whole batch: hosts do not draw the same.
    assert same(batches(2, 4, host=1, hosts=hosts), shares[1][2:4])


@pytest.mark.parametrize('hosts', [1, 2, 3])
def test_evaluation_counts_every_image_once(hosts):
    shares = [list(stream('validation', 12, host=host, hosts=hosts).evaluation().as_numpy_iterator())
              for host in range(hosts)]
    assert len({len(share) for share in shares}) == 1
    assert {batch['image'].shape for share in shares for batch in share} == {(12 // hosts, 16, 16, 3)}
    counted = np.concatenate([labels(share) for share in shares])
    counted = counted[counted >= 0]
    # Of the sample's 53 validation records, four hold a picture that another one holds too.
    assert len(counted) == VALIDATION and sorted(counted) == sorted(stored_labels('validation'))


def test_a_share_of_the_training_set_can_be_kept_for_validation():
    held = stream('train[:41]', 41)
    rest = stream('train[41:]', 400)
    kept = labels(held.evaluation().as_numpy_iterator())
    trained = labels(rest.training(0, 0, 0, 1).as_numpy_iterator())
    assert (held.examples, rest.examples) == (41, 400)
    assert len({*kept, *trained}) == TRAIN


def test_what_cannot_be_done_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match='^training.batch_size is 63, which does not divide among 2 hosts: '):
        stream(hosts=2)
    with pytest.raises(UsageError, match=rf'^imagenet2012 is not in {tmp_path}/imagenet2012/.*: prepare it there with'):
        stream(data_dir=str(tmp_path))
    with pytest.raises(UsageError, match="^imagenet2012 has no split 'training'"):
        stream('training')


def damage(folder, shard, truncated_to=None, broken=()):
    """Cuts a training file off, or breaks the JPEGs of some of its records; returns its path and all its labels."""
    path = folder / f'imagenet2012-train.tfrecord-{shard:05}-of-00008'
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    found = [tf.train.Example.FromString(record).features.feature['label'].int64_list.value[0] for record in records]
    content = path.read_bytes()
    path.unlink()
    if truncated_to:
        path.write_bytes(content[:truncated_to])
        return path, found
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, record in enumerate(records):
            example = tf.train.Example.FromString(record)
            if number in broken:
                jpeg = example.features.feature['image'].bytes_list
                jpeg.value[0] = jpeg.value[0][:200] + b'\0' * 3000
            writer.write(example.SerializeToString())
    return path, found


def test_a_broken_jpeg_is_named(imagenet_copy):
    data_dir, folder = imagenet_copy
    path, found = damage(folder, 5, broken=[17])
    broken = stream(data_dir=data_dir)
    with pytest.raises(tf.errors.OpError):
        list(broken.training(1, 2, 0, EPOCH))
    error = broken.unreadable_in_training(1, 0, EPOCH)
    assert str(error).startswith(f'record 17 of {path} cannot be read (') and 'data.skip_corrupt' in str(error)
    assert stream(data_dir=data_dir, split='validation', batch=20).unreadable_in_evaluation() is None
    # What was trained on before is not decoded when a run is resumed.
    place = next(step for step, batch in enumerate(batches(0, EPOCH)) if found[17] in batch['label'])
    assert same(batches(place + 1, EPOCH, data_dir=data_dir), batches(place + 1, EPOCH)) and place < EPOCH - 1


def test_a_broken_jpeg_is_skipped_where_that_is_asked_for(imagenet_copy, two_epochs, capfd):
    data_dir, folder = imagenet_copy
    path, found = damage(folder, 5, broken=[17, 30])
    skipped = batches(0, EPOCH, data_dir=data_dir, skip_corrupt=2)
    said = capfd.readouterr().err
    assert sorted(line for line in said.splitlines() if 'skipped' in line) == [
        f'record {record} of {path.name} cannot be read and is skipped' for record in (17, 30)]
    gone = {found[17], found[30]}
    for batch, whole in zip(skipped, two_epochs[:EPOCH], strict=True):
        fine = ~np.isin(whole['label'], list(gone))
        assert all(np.array_equal(batch[key][fine], whole[key][fine]) for key in batch)
        for row in np.flatnonzero(~fine):
            # Another image of the batch stands there, with its own label.
            (same_label,) = np.flatnonzero((batch['label'] == batch['label'][row]) & fine)
            assert np.array_equal(batch['image'][row], batch['image'][same_label])
    # An interrupted run sees the same, and so does one that is allowed to skip more.
    assert same(batches(3, EPOCH, data_dir=data_dir, skip_corrupt=9), skipped[3:])
    with pytest.raises(tf.errors.OpError, match=f'record .* of {path.name} cannot be read.*data.skip_corrupt=1 '):
        batches(0, EPOCH, data_dir=data_dir, skip_corrupt=1)


def test_a_truncated_file_is_named_and_its_records_skipped(imagenet_copy):
    data_dir, folder = imagenet_copy
    size = os.path.getsize(folder / 'imagenet2012-train.tfrecord-00002-of-00008')
    path, found = damage(folder, 2, truncated_to=size // 2)
    broken = stream(data_dir=data_dir)
    with pytest.raises(tf.errors.OpError):
        list(broken.training(1, 2, 0, EPOCH))
    sentence = str(broken.unreadable_in_training(1, 0, EPOCH))
    record = int(sentence.split()[1])
    assert sentence.startswith(f'record {record} of {path} cannot be read (truncated record at') and record > 10
    # The first that is missing may not be the first that is drawn.
    read = labels(batches(0, EPOCH, data_dir=data_dir, skip_corrupt=len(found)))
    missing = set(found) - set(read)
    assert missing and set(found[-len(missing):]) == missing and record >= len(found) - len(missing)
    whole = stream('train', 147, data_dir=data_dir, skip_corrupt=len(found))
    counted = labels(whole.evaluation().as_numpy_iterator())
    assert np.sum(counted < 0) == len(missing) and len(set(counted)) == TRAIN - len(missing) + 1


def test_a_missing_file_is_named(imagenet_copy):
    data_dir, folder = imagenet_copy
    path = folder / 'imagenet2012-validation.tfrecord-00003-of-00008'
    path.unlink()
    with pytest.raises(CorruptFileError, match=f'^{path} is missing: prepare the data set again'):
        stream('validation', 20, data_dir=data_dir)
