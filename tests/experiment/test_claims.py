"""Which replicates a job takes beside others."""

import contextlib

import pytest
from fake_files import fail

from tf_lottery.errors import StorageError
from tf_lottery.experiment import claims, config, runs
from tf_lottery.experiment.claims import Claims
from tf_lottery.runtime import locks, storage


@pytest.fixture
def what():
    settings = config.defaults()
    settings.pruning.levels = 1
    settings.replicates = 4
    return config.check(settings)


def finish(workdir, what, replicate):
    for run in runs.wanted(what, replicate):
        storage.write_json(storage.join(workdir, run.folder, 'result.json'), {})


def folder(workdir, replicate):
    return str(workdir / f'replicate_{replicate}')


def test_a_job_takes_one_free_unfinished_replicate_after_the_other(tmp_path, what):
    finish(tmp_path, what, 0)
    with locks.lock(folder(tmp_path, 1)), Claims(str(tmp_path), what) as own:
        assert own.take() == own.replicate == 2
        assert list(claims.holders(str(tmp_path), what)) == [1, 2]
        # What it holds comes first, what it may take later follows; nothing of what others hold.
        assert own.ahead() == [*runs.wanted(what, 2), *runs.wanted(what, 3)]
        finish(tmp_path, what, 2)
        assert own.take() == 3
        assert list(claims.holders(str(tmp_path), what)) == [1, 3]
        finish(tmp_path, what, 3)
        assert own.take() is own.replicate is None
        (left, owner), = own.left().items()
        assert left == 1 and owner == locks.owner(folder(tmp_path, 1))
    assert claims.holders(str(tmp_path), what) == {}


def test_two_jobs_never_hold_the_same_replicate(tmp_path, what):
    with Claims(str(tmp_path), what) as one, Claims(str(tmp_path), what) as other:
        assert [one.take(), other.take(), one.take(), other.take()] == [0, 1, 2, 0]
        # 2 and 0 are held, and each takes a replicate once: 0 and 2 were the first one's, 1 and 0 the second one's.
        assert [one.take(), other.take()] == [1, 2]


def test_a_replicate_that_cannot_be_finished_is_tried_once_and_is_not_left(tmp_path, what):
    for replicate in (1, 2, 3):
        finish(tmp_path, what, replicate)
    with Claims(str(tmp_path), what) as own:
        assert own.take() == 0
        assert own.take() is None
        assert own.left() == {}


def test_a_job_for_one_replicate_takes_that_one_only(tmp_path, what):
    with Claims(str(tmp_path), what, 2) as own:
        assert own.take() == 2
        assert own.ahead() == runs.wanted(what, 2)
        with Claims(str(tmp_path), what, 2) as other:
            assert other.take() is None
            assert other.left()[2] == locks.owner(folder(tmp_path, 2))
        finish(tmp_path, what, 2)
        assert own.take() is None
        assert own.left() == {0: None, 1: None, 3: None}


def test_what_another_job_finished_in_the_meantime_is_not_taken(tmp_path, what, monkeypatch):
    lock = locks.lock

    def finished_first(path):
        finish(tmp_path, what, 0)
        return lock(path)

    monkeypatch.setattr(locks, 'lock', finished_first)
    with Claims(str(tmp_path), what, 0) as own:
        assert own.take() is None
        assert locks.owner(folder(tmp_path, 0)) is None


BUCKET = 'gs://bucket/run'


@pytest.fixture
def settle_at_once(monkeypatch):
    monkeypatch.setattr(locks, '_SETTLE_SECONDS', 0)
    monkeypatch.setattr(locks, '_PATIENCE_SECONDS', 0)


def test_what_is_not_listed_yet_is_neither_taken_twice_nor_trained_twice(files, what, settle_at_once):
    files.late = True
    runs.claim(BUCKET, what, 'python main.py')
    runs.claim(BUCKET, what, 'python main.py --replicate=1')
    assert runs.read_config(BUCKET)['command'] == 'python main.py'
    finish(BUCKET, what, 0)
    with Claims(BUCKET, what) as one, Claims(BUCKET, what) as other:
        assert [one.take(), other.take()] == [1, 2]
        assert list(claims.holders(BUCKET, what)) == [1, 2]
        finish(BUCKET, what, 1)
        assert [one.take(), other.take()] == [3, None]
        assert one.left().keys() == {2}
    assert storage.list_folder(BUCKET) == []
    assert [runs.is_finished(BUCKET, what, replicate) for replicate in range(4)] == [True, True, False, False]


def test_a_file_system_that_fails_ends_a_job_with_a_sentence_and_frees_nothing_of_others(files, what, settle_at_once):
    with Claims(BUCKET, what) as other, Claims(BUCKET, what) as own:
        assert other.take() == 0
        files.before = fail()
        for ask in (Claims(BUCKET, what).__enter__, own.take, own.ahead, own.left,
                    lambda: claims.holders(BUCKET, what), lambda: runs.claim(BUCKET, what, ''),
                    lambda: runs.read_config(BUCKET)):
            with pytest.raises(StorageError, match='^cannot .*: Error executing an HTTP request'):
                ask()
        files.before = lambda operation, path: None
        assert list(claims.holders(BUCKET, what)) == [0]


def test_it_holds_nothing_before_the_first_and_after_the_end(tmp_path, what):
    with Claims(str(tmp_path), what) as own:
        assert own.replicate is None and claims.holders(str(tmp_path), what) == {}
        own.take()
        assert list(claims.holders(str(tmp_path), what)) == [0]
    assert own.replicate is None and claims.holders(str(tmp_path), what) == {}


def test_what_it_took_and_could_not_finish_is_not_ahead_again(tmp_path, what):
    finish(tmp_path, what, 3)
    with Claims(str(tmp_path), what) as own:
        assert [own.take(), own.take()] == [0, 1]
        assert own.ahead() == [*runs.wanted(what, 1), *runs.wanted(what, 2)]


def test_a_replicate_that_was_lost_is_told(tmp_path, what, monkeypatch):
    @contextlib.contextmanager
    def lost(folder):
        def check():
            raise StorageError(f'{folder} may be in other hands.')

        yield check

    monkeypatch.setattr(locks, 'lock', lost)
    with Claims(str(tmp_path), what) as own:
        own.take()
        with pytest.raises(StorageError, match='replicate_0 may be in other hands'):
            own.check()


@pytest.mark.parametrize('place', ['local', BUCKET])
def test_checkpoints_of_runs_that_are_done_are_removed_and_no_others(tmp_path, files, what, place):
    workdir = str(tmp_path) if place == 'local' else place
    left = []
    for replicate in (0, 1):
        # The replicate has finished, or the process died in its first run.
        finish(workdir, what, 0)
        for name in ('checkpoint_a.npz', 'checkpoint_b.npz.tmp'):
            left.append(storage.join(workdir, runs.Run(replicate, 0, 'ticket').folder, name))
            storage.write_bytes(left[-1], b'')
    with Claims(workdir, what, 1):
        assert [storage.exists(path) for path in left] == [True] * 4
    with Claims(workdir, what):
        assert [storage.exists(path) for path in left] == [False, False, True, True]
