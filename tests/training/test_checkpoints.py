"""Two files in turn: whatever happens to one, the other is there."""

import time

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.runtime import storage
from tf_lottery.training.checkpoints import Checkpoint, Saved


def state(value=0):
    return [tf.Variable([float(value), value + 1.0]), tf.Variable(int(value), dtype=tf.int64)]


def values(variables):
    return [variable.numpy().tolist() for variable in variables]


def save(folder, *steps, checkpoint=None):
    checkpoint = checkpoint or Checkpoint(folder)
    for step in steps:
        checkpoint.save(step, state(step), [{'step': step, 'train_loss': 0.1}])
    return checkpoint


def load(folder):
    """What a new process reads: the step, the rows and the values."""
    variables = state(-1)
    saved = Checkpoint(folder).load(variables)
    return saved and (saved.step, saved.rows, values(variables))


def expected(step):
    return step, [{'step': step, 'train_loss': 0.1}], [[step, step + 1], step]


def test_the_newest_is_read_back(tmp_path):
    checkpoint = Checkpoint(tmp_path)
    for step in (10, 20, 30):
        save(tmp_path, step, checkpoint=checkpoint)
        assert load(tmp_path) == expected(step)


def test_the_position_of_the_input_is_read_back(tmp_path):
    checkpoint = Checkpoint(tmp_path)
    checkpoint.save(10, state(), [])
    assert Checkpoint(tmp_path).load(state()) == Saved(10, [], hosts=1, shift=0)
    checkpoint.save(20, state(), [], 4, -3)
    assert Checkpoint(tmp_path).load(state()) == Saved(20, [], hosts=4, shift=-3)


def test_only_the_newest_is_read_whole(tmp_path, monkeypatch):
    save(tmp_path, 10, 20, 30)
    asked, read = [], storage.read_arrays

    def reading(path, names=None):
        asked.append((path, names))
        return read(path, names)

    monkeypatch.setattr(storage, 'read_arrays', reading)
    assert load(tmp_path) == expected(30)
    a, b = (str(tmp_path / name) for name in ('checkpoint_a.npz', 'checkpoint_b.npz'))
    assert asked == [(a, ['step']), (b, ['step']), (a, None)]


def test_checkpoints_on_a_remote_file_system(request):
    folder = f'ram://{request.node.name}'
    save(folder, 10, 20)
    assert load(folder) == expected(20)
    storage.write_bytes(f'{folder}/checkpoint_b.npz', b'PK')
    assert load(folder) == expected(10)
    assert storage.list_folder(folder) == ['checkpoint_a.npz']


def test_without_a_file_there_is_nothing(tmp_path):
    variables = state(5)
    assert Checkpoint(tmp_path).load(variables) is None
    assert values(variables) == [[5, 6], 5]


def test_files_are_written_in_turn(tmp_path):
    save(tmp_path, 10)
    assert storage.list_folder(tmp_path) == ['checkpoint_a.npz']
    save(tmp_path, 10, 20)
    assert storage.list_folder(tmp_path) == ['checkpoint_a.npz', 'checkpoint_b.npz']
    b = storage.read_bytes(tmp_path / 'checkpoint_b.npz')
    save(tmp_path, 30)
    assert storage.read_bytes(tmp_path / 'checkpoint_b.npz') == b


def test_a_new_process_does_not_overwrite_the_newest(tmp_path):
    for steps in ((10,), (10, 20)):
        save(tmp_path, *steps)
        checkpoint = Checkpoint(tmp_path)
        checkpoint.load(state())
        save(tmp_path, 30, checkpoint=checkpoint)
        names = ['checkpoint_a.npz', 'checkpoint_b.npz']
        assert sorted(int(storage.read_arrays(tmp_path / name)['step']) for name in names) == [steps[-1], 30]
        checkpoint.remove()


def flip(content):
    place = content.index(np.array([20.0, 21.0], np.float32).tobytes())
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]


@pytest.mark.parametrize('damage', [lambda content: content[:-40], lambda content: b'', flip])
def test_a_damaged_file_is_named_and_removed_and_the_older_one_used(tmp_path, caplog, damage):
    save(tmp_path, 10, 20)
    newest = tmp_path / 'checkpoint_b.npz'
    newest.write_bytes(damage(newest.read_bytes()))
    assert load(tmp_path) == expected(10)
    assert f'{newest} is corrupt' in caplog.text
    assert 'It is removed; the level goes on from an older checkpoint' in caplog.text
    assert storage.list_folder(tmp_path) == ['checkpoint_a.npz']


def test_two_damaged_files_start_the_run_again(tmp_path, caplog):
    save(tmp_path, 10, 20)
    for name in ('checkpoint_a.npz', 'checkpoint_b.npz'):
        (tmp_path / name).write_bytes(b'PK')
    assert load(tmp_path) is None
    assert len(caplog.records) == 2
    assert storage.list_folder(tmp_path) == []


@pytest.mark.parametrize('other', [
    lambda: state()[:1], lambda: [*state(), tf.Variable(0)], lambda: [tf.Variable([0.0]), state()[1]]])
def test_a_checkpoint_of_another_network_is_named_and_assigns_nothing(tmp_path, caplog, other):
    save(tmp_path, 10)
    variables = other()
    before = values(variables)
    assert Checkpoint(tmp_path).load(variables) is None
    assert 'checkpoint_a.npz is corrupt: it is not of this network and optimizer' in caplog.text
    assert values(variables) == before


def test_a_worker_that_may_not_write_reads_only(tmp_path):
    reader = Checkpoint(tmp_path, writes=False)
    reader.save(10, state(), [])
    assert storage.list_folder(tmp_path) == []
    save(tmp_path, 10)
    (tmp_path / 'checkpoint_b.npz').write_bytes(b'PK')
    variables = state()
    assert reader.load(variables).step == 10
    reader.remove()
    assert storage.list_folder(tmp_path) == ['checkpoint_a.npz', 'checkpoint_b.npz']
    Checkpoint(tmp_path).remove()
    assert storage.list_folder(tmp_path) == []


def test_what_was_saved_of_another_ticket_is_named_and_not_read(tmp_path, caplog):
    Checkpoint(tmp_path, digest='one').save(10, state(10), [])
    variables = state(-1)
    assert Checkpoint(tmp_path, digest='one').load(variables).step == 10
    variables = state(-1)
    assert Checkpoint(tmp_path, digest='other').load(variables) is None
    assert values(variables) == values(state(-1))
    assert f'{tmp_path}/checkpoint_a.npz is of another ticket: ' in caplog.text
    assert storage.list_folder(tmp_path) == []


def test_files_of_before_there_were_digests_and_seconds_are_read(tmp_path):
    save(tmp_path, 10)
    path = tmp_path / 'checkpoint_a.npz'
    arrays = storage.read_arrays(path)
    storage.write_arrays(path, {name: array for name, array in arrays.items() if name not in ('digest', 'seconds')})
    assert Checkpoint(tmp_path, digest='one').load(state(-1)).step == 10


def test_seconds_go_on_from_those_that_were_saved(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, 'perf_counter', lambda: now[0])
    first = Checkpoint(tmp_path, began=995.0)
    now[0] = 1020.0
    save(tmp_path, 10, checkpoint=first)
    assert first.seconds == 25
    # Another process, with a clock of its own.
    now[0] = 3.0
    second = Checkpoint(tmp_path)
    second.load(state(-1))
    now[0] = 7.0
    assert second.seconds == 25 + 4
