"""A folder has one holder at a time, on a local disk and on a file system of tf.io.gfile, and none once it has died."""

import errno
import fcntl
import os
import pathlib
import socket
import subprocess
import sys
import time
import uuid

import pytest
from absl import logging
from fake_files import fail

from tf_lottery.errors import HeldError, StorageError
from tf_lottery.runtime import locks, storage

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def settle_at_once(monkeypatch):
    monkeypatch.setattr(locks, '_SETTLE_SECONDS', 0.01)
    monkeypatch.setattr(locks, '_POLL_SECONDS', 0.01)


@pytest.fixture
def remote():
    return f'ram://{uuid.uuid4()}/run'


@pytest.fixture(params=['local', 'remote'])
def folder(request, tmp_path, remote):
    return str(tmp_path / 'run') if request.param == 'local' else remote


HOLD = """
import sys
from tf_lottery.runtime import locks
with locks.lock(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder until its standard input ends."""
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_folder_that_another_process_holds_is_refused_by_its_name(tmp_path, holder):
    with pytest.raises(HeldError, match=rf'{tmp_path} is being used by another process \(process {holder.pid} on '), \
            locks.lock(str(tmp_path)):
        pass
    assert locks.owner(str(tmp_path)).startswith(f'process {holder.pid} on ')


@pytest.mark.parametrize('end', [lambda process: process.stdin.close(), lambda process: process.kill()],
                         ids=['let go', 'killed'])
def test_a_lock_is_free_once_its_process_is_gone(tmp_path, holder, end):
    end(holder)
    holder.wait()
    assert locks.owner(str(tmp_path)) is None
    with locks.lock(str(tmp_path)):
        assert f'process {os.getpid()} on ' in (tmp_path / '.lock').read_text()


def test_who_waits_gets_the_lock_when_its_holder_is_gone(tmp_path, holder, monkeypatch):
    warnings = []

    def warn(text, *values):
        warnings.append(text % values)
        holder.kill()

    monkeypatch.setattr(logging, 'warning', warn)
    with locks.lock(str(tmp_path), wait=True) as check:
        check()
    assert len(warnings) == 1
    assert warnings[0].startswith(f'Waiting for process {holder.pid} on ')


def test_a_lock_is_held_by_one_and_then_by_the_next(folder):
    assert locks.owner(folder) is None
    for _ in range(2):
        with locks.lock(folder) as check:
            assert locks.owner(folder).startswith(f'process {os.getpid()} on ')
            with pytest.raises(HeldError, match=rf'^{folder} is being used'), locks.lock(folder):
                pass
            # The refused one has not taken it away.
            check()
            assert locks.owner(folder)
        assert locks.owner(folder) is None
    assert set(storage.list_folder(folder)) <= locks.NAMES


def test_a_disk_without_locks_is_told(tmp_path, monkeypatch):
    def refuse(file, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, 'flock', refuse)
    with pytest.raises(StorageError, match=r'cannot lock .*/\.lock: No locks available; choose a --workdir on a file '
                                           r'system with file locks'), locks.lock(str(tmp_path)):
        pass


def eventually(condition, sleep=time.sleep):
    """Waits for what another thread does: it may get no processor for seconds."""
    for _ in range(3000):
        if condition():
            return
        sleep(0.01)
    pytest.fail('it has not come about in half a minute')


def says(check, sentence):
    try:
        check()
    except StorageError as error:
        return sentence in str(error)
    return False


def test_a_remote_lock_is_renewed_while_it_is_held(remote, monkeypatch):
    monkeypatch.setattr(locks, '_RENEW_SECONDS', 0.02)
    with locks.lock(remote) as check:
        path = storage.join(remote, 'lock.json')
        first = storage.read_json(path)['time']
        eventually(lambda: storage.read_json(path)['time'] > first)
        check()


def test_a_renewal_that_fails_is_tried_again(remote, monkeypatch):
    monkeypatch.setattr(locks, '_RENEW_SECONDS', 0.02)
    write, failed = storage.write_bytes, []

    def fail_twice(*arguments):
        if len(failed) < 2:
            failed.append(arguments)
            raise StorageError('the network is down')
        write(*arguments)

    with locks.lock(remote):
        path = storage.join(remote, 'lock.json')
        first = storage.read_json(path)['time']
        monkeypatch.setattr(storage, 'write_bytes', fail_twice)
        eventually(lambda: storage.read_json(path)['time'] > first)
        assert len(failed) == 2


def test_who_could_not_renew_stops_before_others_take_over(remote, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, 'time', lambda: now)
    with locks.lock(remote) as check:
        now += 239
        check()
        now += 2
        with pytest.raises(StorageError, match='may be in other hands'):
            check()
        assert locks.owner(remote)
        now += 60
        assert locks.owner(remote) is None


def test_who_was_taken_over_stops_and_leaves_the_new_lock_alone(remote, monkeypatch):
    monkeypatch.setattr(locks, '_RENEW_SECONDS', 0.02)
    other = {'owner': 'process 7 on elsewhere', 'time': time.time(), 'token': 'other'}
    with locks.lock(remote) as check:
        storage.write_json(storage.join(remote, 'lock.json'), other)
        eventually(lambda: says(check, 'nothing more is written'))
    assert storage.read_json(storage.join(remote, 'lock.json')) == other


def test_a_remote_lock_of_a_dead_process_is_taken_over(remote):
    path = storage.join(remote, 'lock.json')
    storage.write_json(path, {'owner': 'process 1 on gone', 'time': time.time() - 299})
    with pytest.raises(HeldError, match='process 1 on gone'), locks.lock(remote):
        pass
    storage.write_json(path, {'owner': 'process 1 on gone', 'time': time.time() - 301})
    assert locks.owner(remote) is None
    with locks.lock(remote):
        assert storage.read_json(path)['owner'].startswith(f'process {os.getpid()} ')


@pytest.mark.parametrize('left', [{'owner': 'process 1 on gone', 'time': 0.0}, None], ids=['expired', 'free'])
def test_of_two_that_take_a_remote_lock_at_once_the_last_writer_has_it(remote, monkeypatch, left):
    path = storage.join(remote, 'lock.json')
    if left:
        storage.write_json(path, left)
    other = {'owner': 'process 7 on elsewhere', 'time': time.time(), 'token': 'other'}
    settle = []

    def meanwhile(seconds):
        if not settle:
            settle.append(storage.read_json(path)['owner'])
            storage.write_json(path, other)

    monkeypatch.setattr(time, 'sleep', meanwhile)
    monkeypatch.setattr(locks, '_PATIENCE_SECONDS', 0)
    with pytest.raises(HeldError, match='process 7 on elsewhere'), locks.lock(remote):
        pass
    assert settle[0].startswith(f'process {os.getpid()} ')
    assert storage.read_json(path) == other


def test_a_lock_file_that_was_not_written_to_its_end_is_no_lock(remote):
    storage.write_text(storage.join(remote, 'lock.json'), '{"owner": "pro')
    assert locks.owner(remote) is None
    with locks.lock(remote):
        pass


@pytest.mark.parametrize('content', ['[]', '7', '{}', '{"owner": "process 1 on gone"}'])
def test_what_does_not_look_like_a_lock_is_none(remote, content):
    storage.write_text(storage.join(remote, 'lock.json'), content)
    assert locks.owner(remote) is None
    with locks.lock(remote) as check:
        check()


def test_a_lock_that_is_not_listed_yet_is_held_by_one(files):
    files.late = True
    with locks.lock('gs://bucket/run') as check:
        assert storage.list_folder('gs://bucket/run') == []
        assert locks.owner('gs://bucket/run').startswith(f'process {os.getpid()} on ')
        with pytest.raises(HeldError), locks.lock('gs://bucket/run'):
            pass
        check()
    assert files.content == {}


def test_a_file_system_that_fails_gives_no_lock(files):
    files.before = fail()
    for ask in (locks.owner, lambda folder: locks.lock(folder).__enter__()):
        with pytest.raises(StorageError, match='^cannot .* gs://bucket/run.*: Error executing an HTTP request'):
            ask('gs://bucket/run')


def test_a_lock_that_cannot_be_taken_back_expires_and_the_work_is_good(files):
    with locks.lock('gs://bucket/run'):
        files.before = fail()
    files.before = lambda operation, path: None
    assert locks.owner('gs://bucket/run')


@pytest.mark.parametrize(('seconds', 'waits'), [(0.7, [5]), (0.9, [64.5])], ids=['fast', 'slow'])
def test_who_took_long_waits_until_an_owner_that_it_wrote_over_has_noticed(files, monkeypatch, seconds, waits):
    """Looking takes one request, and writing four."""
    now, slept, mine = [0.0], [], []

    def before(operation, path):
        now[0] += seconds

    def sleep(duration):
        slept.append(duration)
        mine.append(storage.read_json('gs://bucket/run/lock.json')['owner'])

    files.before = before
    monkeypatch.setattr(locks, '_SETTLE_SECONDS', 5)
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(time, 'sleep', sleep)
    with locks.lock('gs://bucket/run'):
        pass
    assert slept == pytest.approx(waits)
    assert mine == [f'process {os.getpid()} on {socket.gethostname()}']


def test_of_an_owner_and_one_that_wrote_over_it_late_the_late_one_has_it(files, monkeypatch):
    monkeypatch.setattr(locks, '_RENEW_SECONDS', 0.02)
    with locks.lock('gs://bucket/run') as owner:
        # The other one looked before the lock was there, and everything that it asked for took long.
        monkeypatch.setattr(locks, '_TAKE_SECONDS', 0)
        monkeypatch.setattr(locks, '_fresh_owner', lambda path: None)
        noticed, sleep = [], time.sleep

        def wait(seconds):
            sleep(seconds)
            noticed.append(seconds)
            eventually(lambda: says(owner, 'nothing more is written'), sleep)

        monkeypatch.setattr(time, 'sleep', wait)
        with locks.lock('gs://bucket/run') as late:
            assert noticed[0] > 0.02
            late()
        monkeypatch.setattr(time, 'sleep', sleep)
