"""Files: the same contract on a local disk and on a file system of tf.io.gfile, and what a user reads when it fails."""

import errno
import inspect
import os
import shutil
import threading
import time
import uuid

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from fake_files import fail

from tf_lottery.errors import CorruptFileError, MissingFileError, StorageError, UsageError
from tf_lottery.runtime import locks, storage


@pytest.fixture(params=['local', 'remote'])
def folder(request, tmp_path):
    return str(tmp_path / 'run') if request.param == 'local' else f'ram://{uuid.uuid4()}/run'


def test_what_is_written_is_read(folder):
    storage.write_bytes(storage.join(folder, 'deep/er', 'file'), b'\x00\xff')
    storage.write_text(storage.join(folder, 'text'), 'Grüße\n')
    storage.write_json(storage.join(folder, 'value.json'), {'b': [1, None], 'a': 0.1})
    assert storage.read_bytes(storage.join(folder, 'deep', 'er/file')) == b'\x00\xff'
    assert storage.read_text(storage.join(folder, 'text')) == 'Grüße\n'
    assert storage.read_json(storage.join(folder, 'value.json')) == {'a': 0.1, 'b': [1, None]}


def test_a_file_is_replaced(folder):
    path = storage.join(folder, 'file')
    storage.write_bytes(path, b'a long first content')
    storage.write_bytes(path, b'short')
    assert storage.read_bytes(path) == b'short'
    assert storage.list_folder(folder) == ['file']


def test_a_folder_lists_its_names_in_order(folder):
    assert storage.list_folder(folder) == []
    storage.write_text(storage.join(folder, 'b'), '')
    storage.write_text(storage.join(folder, 'c', 'inner'), '')
    storage.write_text(storage.join(folder, 'a'), '')
    assert storage.list_folder(folder) == ['a', 'b', 'c']
    # A killed process may have left a file that it had not renamed yet.
    storage.write_text(storage.join(folder, 'd.123.tmp'), '')
    assert storage.list_folder(folder) == ['a', 'b', 'c']


@pytest.mark.parametrize('name', ['run', 'r[u]n*?'])
def test_one_listing_has_what_lies_so_many_folders_deep(folder, name):
    folder = storage.join(folder, name)
    assert [storage.list_below(folder, depth) for depth in (1, 2, 3)] == [[], [], []]
    for path in ('a', 'level_0/b', 'level_1/ticket/c', 'level_1/ticket[0]/d', 'level_1/e.tmp', 'x/y/z/f'):
        storage.write_text(storage.join(folder, path), '')
    assert [sorted(storage.list_below(folder, depth)) for depth in (1, 2, 3)] == [
        ['a', 'level_0', 'level_1', 'x'], ['level_0/b', 'level_1/e.tmp', 'level_1/ticket', 'level_1/ticket[0]', 'x/y'],
        ['level_1/ticket/c', 'level_1/ticket[0]/d', 'x/y/z']]
    # A folder of a like name lies beside.
    storage.write_text(storage.join(folder + 'more', 'a'), '')
    assert 'a' in storage.list_below(folder, 1) and len(storage.list_below(folder, 1)) == 4


def test_a_bucket_is_asked_once_for_all_that_lies_below(files):
    for number in range(50):
        storage.write_text(f'gs://bucket/run/level_{number}/ticket/result.json', '')
    asked = []
    files.before = lambda *operation: asked.append(operation)
    assert len(storage.list_below('gs://bucket/run', 3)) == 50
    assert asked == [('glob', 'gs://bucket/run/*/*/*')]


def test_many_are_asked_at_once_and_answered_in_order():
    together = threading.Barrier(8, timeout=20)

    def ask(number):
        together.wait()
        return -number

    assert storage.all_at_once(ask, range(8)) == [-number for number in range(8)]
    with pytest.raises(StorageError, match='three'):
        storage.all_at_once(lambda item: (_ for _ in ()).throw(StorageError(item)), ['three'])


def test_files_and_folders_are_removed_and_what_is_not_there_is_no_error(folder):
    path = storage.join(folder, 'deep', 'file')
    storage.write_text(path, 'x')
    assert storage.exists(path) and storage.exists(folder)
    storage.remove(path)
    assert not storage.exists(path)
    storage.write_text(path, 'x')
    storage.remove(folder)
    assert not storage.exists(path)
    storage.remove(folder)
    storage.make_folder(folder)
    storage.make_folder(folder)
    assert storage.exists(folder)


ARRAYS = {'fc/kernel': np.arange(6, dtype=np.float32).reshape(2, 3), 'step': np.array(7), 'none': np.zeros((0, 2)),
          'mask': np.array([True, False]), 'half': np.array([1.5], np.float16)}
OF_OTHER_DTYPES = {
    'brain': np.array([[1.5, np.nan, -0.0], [0, 1, 2]], ml_dtypes.bfloat16).T,
    'eighth': np.array(1.5, ml_dtypes.float8_e5m2), 'quarter': np.array([-8, 7], ml_dtypes.int4),
    'wave': np.array([1 + 2j], np.complex64), 'words': np.array(['a', 'bc'])}


def test_arrays_read_back_with_names_order_and_dtypes(folder):
    path = storage.join(folder, 'arrays.npz')
    arrays = {**ARRAYS, **OF_OTHER_DTYPES}
    storage.write_arrays(path, arrays)
    again = storage.read_arrays(path)
    assert list(again) == list(arrays)
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        assert again[name].shape == array.shape
        assert again[name].tobytes() == array.tobytes()


def test_numpy_alone_reads_the_bits_of_a_dtype_that_it_does_not_know(tmp_path):
    storage.write_arrays(tmp_path / 'arrays.npz', {'w': np.array([1, -2], ml_dtypes.bfloat16)})
    with np.load(tmp_path / 'arrays.npz') as file:
        assert file['w']['bfloat16'].tolist() == [0x3f80, 0xc000]


def test_objects_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match='^table holds object, which no file keeps: make it an array of numbers'):
        storage.write_arrays(tmp_path / 'arrays.npz', {'w': np.ones(2), 'table': np.array([b'a', b'bc'], object)})
    assert os.listdir(tmp_path) == []


def test_equal_arrays_give_equal_files_at_any_time(folder, monkeypatch):
    one, two = storage.join(folder, 'one.npz'), storage.join(folder, 'two.npz')
    storage.write_arrays(one, ARRAYS)
    monkeypatch.setattr(time, 'time', lambda: 2e9)
    monkeypatch.setattr(time, 'localtime', lambda *_: time.gmtime(2e9))
    storage.write_arrays(two, ARRAYS)
    assert storage.read_bytes(one) == storage.read_bytes(two)


def corruptions(content):
    """A third of the truncations, and every byte with one bit flipped."""
    yield from (content[:length] for length in range(0, len(content), 3))
    for place, byte in enumerate(content):
        yield content[:place] + bytes([byte ^ (1 << place % 8)]) + content[place + 1:]


def test_a_changed_npz_is_never_read_as_something_else(tmp_path):
    path = tmp_path / 'arrays.npz'
    storage.write_arrays(path, ARRAYS)
    whole = path.read_bytes()
    named = 0
    for content in corruptions(whole):
        path.write_bytes(content)
        try:
            again = storage.read_arrays(path)
        except CorruptFileError as error:
            assert str(path) in str(error)
            named += 1
        else:
            # A bit that no reader looks at, such as a file attribute.
            assert list(again) == list(ARRAYS)
            assert all(np.array_equal(again[name], array) for name, array in ARRAYS.items())
    assert named > len(whole)


@pytest.mark.parametrize('content', [b'', b'{"a": 1', b'\xff\xfe', b'{"a": 1}}'])
def test_a_changed_json_is_named(folder, content):
    path = storage.join(folder, 'config.json')
    storage.write_bytes(path, content)
    with pytest.raises(CorruptFileError, match=r'config\.json is corrupt: it does not hold JSON\.'):
        storage.read_json(path)


def test_a_missing_file_is_named(folder):
    for name in ('nothing.json', 'nowhere/nothing.json'):
        with pytest.raises(MissingFileError, match=rf'^cannot read .*{name}: No such file or directory\.$'):
            storage.read_json(storage.join(folder, name))
        with pytest.raises(MissingFileError):
            storage.read_arrays(storage.join(folder, name), ['step'])


def test_a_file_in_the_working_folder_needs_no_folder_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage.write_text('file', 'x')
    storage.write_text('ram://file_at_the_root', 'x')
    assert storage.read_text('file') == storage.read_text('ram://file_at_the_root') == 'x'
    assert os.listdir(tmp_path) == ['file']


@pytest.mark.parametrize(('path', 'bare'), [
    ('runs/one', 'runs/one'), ('runs/one//', 'runs/one'), ('gs://bucket/', 'gs://bucket'), ('/', '/'),
    ('gs://', 'gs://'), ('', '')])
def test_slashes_at_the_end_of_a_folder_go_but_for_a_root(path, bare):
    assert storage.without_slash(path) == bare


def test_a_text_that_is_none_is_named(folder):
    storage.write_bytes(storage.join(folder, 'metrics.csv'), b'\xff\xfe')
    with pytest.raises(CorruptFileError, match=r'metrics\.csv is corrupt: it does not hold text\.$'):
        storage.read_text(storage.join(folder, 'metrics.csv'))


def test_folders_with_a_file_are_found_and_not_looked_into(folder):
    for name in ('a/config.json', 'a/deeper/config.json', 'b/c/config.json', 'b/config', 'd/file'):
        storage.write_text(storage.join(folder, name), '')
    assert list(storage.folders_with('config.json', folder)) == [f'{folder}/a', f'{folder}/b/c']
    assert list(storage.folders_with('config.json', f'{folder}/a')) == [f'{folder}/a']
    assert list(storage.folders_with('config.json', f'{folder}/nothing')) == []


def test_links_to_folders_are_not_followed_and_are_removed_as_links(tmp_path):
    storage.write_text(tmp_path / 'real' / 'config.json', '')
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    (tmp_path / 'circle').symlink_to(tmp_path)
    assert list(storage.folders_with('config.json', tmp_path)) == [f'{tmp_path}/real']
    storage.remove(tmp_path / 'link')
    assert storage.list_folder(tmp_path) == ['circle', 'real']
    assert storage.list_folder(tmp_path / 'real') == ['config.json']


def test_a_write_that_breaks_off_leaves_the_old_content_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    storage.write_bytes(path, b'old')
    assert os.listdir(tmp_path) == ['file']

    def interrupt(number):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'fsync', interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.write_bytes(path, b'new')
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['file']


def test_a_folder_takes_the_place_of_another(tmp_path, folder):
    for name, names in (('one', ['a', 'below/b']), ('two', ['a', 'c'])):
        for file in names:
            storage.write_text(tmp_path / name / file, f'{name} {file}')
        storage.replace_folder(str(tmp_path / name), f'{folder}/export')
    assert storage.list_folder(folder) == ['export']
    assert storage.list_folder(f'{folder}/export') == ['a', 'c']
    assert storage.read_text(f'{folder}/export/a') == 'two a'


def test_a_folder_that_cannot_be_copied_leaves_the_old_one_and_no_litter(tmp_path, monkeypatch):
    for name in ('old', 'new'):
        storage.write_text(tmp_path / name / 'file', name)
    storage.replace_folder(str(tmp_path / 'old'), str(tmp_path / 'run' / 'export'))

    def refuse(source, target):
        os.mkdir(target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, 'copytree', refuse)
    with pytest.raises(StorageError, match='^cannot write .*export: the disk is full'):
        storage.replace_folder(str(tmp_path / 'new'), str(tmp_path / 'run' / 'export'))
    assert os.listdir(tmp_path / 'run') == ['export']
    assert (tmp_path / 'run' / 'export' / 'file').read_text() == 'old'


@pytest.mark.parametrize(('code', 'sentence'), [
    (errno.ENOSPC, 'the disk is full; free some space and run the same command again'),
    (errno.EDQUOT, 'the disk is full'), (errno.EROFS, 'it is not writable; choose another --workdir'),
    (errno.EIO, os.strerror(errno.EIO))])
def test_a_disk_that_refuses_is_told_in_one_sentence(tmp_path, monkeypatch, code, sentence):
    path = tmp_path / 'weights.npz'
    storage.write_arrays(path, ARRAYS)
    before = path.read_bytes()

    def refuse(number):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, 'fsync', refuse)
    with pytest.raises(StorageError, match=f'^cannot write {path}: {sentence}'):
        storage.write_arrays(path, {'fc/kernel': np.ones(3)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['weights.npz']


def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('a file where a folder is wanted')
    with pytest.raises(StorageError, match=rf'^cannot create the folder {tmp_path}/file/run: '):
        storage.write_text(tmp_path / 'file' / 'run' / 'x', '')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_read_only_folder_is_told_in_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    for action in (lambda: storage.write_text(tmp_path / 'x', ''), lambda: storage.make_folder(tmp_path / 'run')):
        with pytest.raises(StorageError, match=r'it is not writable; choose another --workdir\.$'):
            action()


def test_a_read_only_file_system_is_told_in_one_sentence(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, 'makedirs', refuse)
    with pytest.raises(StorageError, match=rf'^cannot create the folder {tmp_path}: it is not writable; choose another '
                                           r'--workdir\.$'), locks.lock(str(tmp_path)):
        pass


def test_a_folder_that_may_not_be_read_is_told_in_one_sentence(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    for name in ('stat', 'listdir'):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            with pytest.raises(StorageError) as refused:
                storage.list_folder(str(tmp_path))
        assert str(refused.value) == (f'cannot {"look for" if name == "stat" else "list"} {tmp_path}: you may not read '
                                      'it; change its permissions, or choose another one.')


def test_a_file_in_the_place_of_a_folder_is_told_in_one_sentence(tmp_path):
    path = tmp_path / 'file'
    path.write_text('')
    sentence = 'there is a file in the place of a folder; choose another --workdir.'
    for action, below in (('list', storage.list_folder), ('create the folder', storage.make_folder)):
        with pytest.raises(StorageError) as refused:
            below(str(path))
        assert str(refused.value) == f'cannot {action} {path}: {sentence}'
    assert not storage.exists(f'{path}/below')


ACTIONS = {
    'exists': storage.exists, 'folders_with': lambda path: list(storage.folders_with('config.json', path)),
    'list_below': lambda path: storage.list_below(path, 2), 'list_folder': storage.list_folder,
    'make_folder': storage.make_folder, 'read_arrays': storage.read_arrays,
    'read_bytes': storage.read_bytes, 'read_json': storage.read_json, 'read_text': storage.read_text,
    'remove': storage.remove, 'replace_folder': lambda path: storage.replace_folder(os.path.dirname(__file__), path),
    'write_arrays': lambda path: storage.write_arrays(path, ARRAYS), 'write_json': lambda path: storage.write_json(
        path, 1), 'write_bytes': lambda path: storage.write_bytes(path, b''),
    'write_text': lambda path: storage.write_text(path, '')}


def test_all_that_asks_a_file_system_is_tested_here():
    asking = {name for name, function in inspect.getmembers(storage, inspect.isfunction)
              if function.__module__ == storage.__name__ and not name.startswith('_')}
    assert asking - {'all_at_once', 'is_of_ml_dtypes', 'is_remote', 'join', 'one_sentence', 'without_slash'} == set(
        ACTIONS)


@pytest.mark.parametrize('name', ACTIONS)
def test_a_remote_file_system_that_fails_is_told_in_one_sentence(files, name):
    files.before = fail()
    with pytest.raises(StorageError) as refused:
        ACTIONS[name]('gs://bucket/run')
    assert type(refused.value) is StorageError
    assert str(refused.value).startswith('cannot ') and ' gs://bucket' in str(refused.value)
    assert str(refused.value).endswith(': Error executing an HTTP request: libcurl code 6; see that this host can '
                                       'reach it and has the rights, and run the same command again.')


@pytest.mark.parametrize('name', ACTIONS)
def test_a_file_system_that_fails_half_way_is_told_in_one_sentence(files, name):
    """Every request of an action fails once, after those before it were answered."""
    failed = 0
    for last in range(20):
        files.content = {'gs://bucket/run/config.json': b'1'}
        asked = []

        def before(operation, path, last=last, asked=asked):
            asked.append(operation)
            if len(asked) > last:
                fail()(operation, path)

        files.before = before
        try:
            ACTIONS[name]('gs://bucket/run')
        except StorageError as error:
            failed += len(asked) > last
            assert len(str(error).splitlines()) == 1
    assert failed


@pytest.mark.parametrize('scheme', ['s3', 'nosuch', 'http'])
@pytest.mark.parametrize('name', ACTIONS)
def test_an_unknown_scheme_is_told_in_one_sentence(name, scheme):
    with pytest.raises(StorageError) as refused:
        ACTIONS[name](f'{scheme}://bucket/run')
    assert str(refused.value).endswith(f': TensorFlow has no file system for {scheme}://; give a local path or one in '
                                       'gs://.')


@pytest.mark.parametrize('where', ['/tmp/', 'ram://'])
@pytest.mark.parametrize('name', ACTIONS)
def test_a_name_that_is_none_is_told_in_one_sentence(name, where):
    with pytest.raises(StorageError, match=r"^cannot [a-z ]+ '.*a\\x00b.*': that is no name of a file; choose another"):
        ACTIONS[name](f'{where}a\0b')
    with pytest.raises(StorageError, match=r"^cannot [a-z ]+ '.*a\\ud800b.*': that is no name of a file"):
        ACTIONS[name](f'{where}a\ud800b')


@pytest.mark.parametrize(('error', 'path', 'why'), [
    (tf.errors.UnimplementedError, '/tmp/run', 'the operation Foo is not there'),
    (tf.errors.UnimplementedError, 'gs://bucket/run', 'the operation Foo is not there; see that this host can reach'),
    (tf.errors.NotFoundError, 'gs://bucket/run', 'No such file or directory'),
    (tf.errors.ResourceExhaustedError, '/tmp/run', 'the operation Foo is not there')])
def test_what_else_tensorflow_says_is_one_sentence(error, path, why):
    with pytest.raises(StorageError) as told, storage.one_sentence('write', path):
        raise error(None, None, 'the operation Foo is not there\n\t at {{node Foo}} [Op:Foo]')
    assert str(told.value).startswith(f'cannot write {path}: {why}') and len(str(told.value).splitlines()) == 1
    with pytest.raises(StorageError, match=': the disk is full; '), storage.one_sentence('write', path):
        raise error(None, None, f'{path}; {os.strerror(errno.ENOSPC)}')


def test_who_waits_for_a_slow_file_system_is_told(files, monkeypatch):
    told, warnings = threading.Event(), []

    def warn(text, *values):
        warnings.append(text % values)
        told.set()

    monkeypatch.setattr(logging, 'warning', warn)
    assert not storage.exists('gs://bucket/fast')
    monkeypatch.setattr(storage, '_SILENT_SECONDS', 0.01)
    files.before = lambda operation, path: told.wait(60)
    assert not storage.exists('gs://bucket/slow')
    assert warnings == ['Waiting for the file system to look for gs://bucket/slow (Ctrl-\\ gives up).']


def test_what_is_not_listed_yet_is_there_by_name(files):
    files.late = True
    storage.write_json('gs://bucket/run/a.json', 1)
    assert storage.list_folder('gs://bucket/run') == []
    assert storage.exists('gs://bucket/run/a.json') and storage.read_json('gs://bucket/run/a.json') == 1
    storage.write_json('gs://bucket/run/a.json', 2)
    assert storage.read_json('gs://bucket/run/a.json') == 2
    storage.remove('gs://bucket/run/a.json')
    assert files.content == {}


def test_a_disk_that_is_full_while_a_folder_is_copied_is_told_so(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    storage.write_text(tmp_path / 'made' / 'file', 'x')
    monkeypatch.setattr(shutil, 'copy2', full)
    monkeypatch.setattr(shutil.copytree, '__defaults__', (False, None, full, False, False))
    with pytest.raises(StorageError, match='^cannot write .*export: the disk is full; free some space'):
        storage.replace_folder(str(tmp_path / 'made'), str(tmp_path / 'export'))
