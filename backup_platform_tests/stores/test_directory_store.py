"""A local directory: durable, atomic, for its owner only. These tests run as root or as a user."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_platform.domain.ports import Store
from backup_platform.errors import ConflictError, NotFoundError, StoreError
from backup_platform.stores import object_store
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.contracts.store_contract import KEY, StoreContract


class TestDirectory(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return DirectoryStore(str(tmp_path / "repository"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(str(root))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Calls to the system that make things durable and visible, in order, with the path they concern."""
    seen: list[tuple[str, str]] = []

    def watched(name: str, path_of: Any) -> None:
        original = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            seen.append((name, path_of(*args)))
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    watched("fsync", lambda descriptor: os.readlink(f"/proc/self/fd/{descriptor}"))
    watched("link", lambda _, target: target)
    watched("replace", lambda _, target: target)
    return seen


def is_draft_of(path: str, key: str) -> bool:
    return path.startswith(key + "#")


@pytest.mark.parametrize("verb", ["create", "replace"])
def test_bytes_are_durable_before_the_name_and_the_name_before_the_return(
    store: DirectoryStore, root: Path, events: list[tuple[str, str]], verb: str
) -> None:
    getattr(store, verb)(KEY, b"data")
    path = str(root / KEY)
    published = events.index(("link" if verb == "create" else "replace", path))
    assert [name for name, at in events[:published] if is_draft_of(at, path)] == ["fsync"]
    assert ("fsync", str(root / "packs/ab")) in events[published:]


def test_new_directories_are_durable(
    store: DirectoryStore, root: Path, events: list[tuple[str, str]]
) -> None:
    store.create(KEY, b"data")
    synced = {path for name, path in events if name == "fsync"}
    assert {str(root), str(root / "packs"), str(root / "packs/ab")} <= synced
    events.clear()
    store.create("packs/ab/next", b"data")
    assert str(root) not in {path for _, path in events}


def test_what_is_written_is_for_the_owner_only(store: DirectoryStore, root: Path) -> None:
    """Also in a directory that was there before and that others may enter."""
    root.chmod(0o755)
    old = os.umask(0)
    try:
        store.create(KEY, b"secret")
        store.replace("meta/cd/cdef", b"secret")
    finally:
        os.umask(old)
    for path in root.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_new_root_is_for_the_owner_only(store: DirectoryStore, root: Path) -> None:
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_no_draft_stays_behind(store: DirectoryStore, root: Path) -> None:
    store.create(KEY, b"1")
    with pytest.raises(ConflictError):
        store.create(KEY, b"2")
    store.replace(KEY, b"3")
    assert [path.name for path in (root / "packs/ab").iterdir()] == ["abcd"]


def test_the_draft_of_a_killed_writer_is_no_object(store: DirectoryStore, root: Path) -> None:
    code = f"""
import os, signal
from backup_platform.stores import object_store
object_store.os.link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
object_store.DirectoryStore({str(root)!r}).create({KEY!r}, b"data")
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    (draft,) = (root / "packs/ab").iterdir()
    assert is_draft_of(draft.name, "abcd")
    assert list(store.list("packs/")) == []
    store.create(KEY, b"other")
    assert [found.key for found in store.list("packs/")] == [KEY]


def test_what_others_put_into_the_directory_ends_no_listing(store: DirectoryStore, root: Path) -> None:
    store.create("packs/ab/1", b"right")
    for name in (b"\x01", b"a\nb", b"\xff", "ü".encode()):
        (root / "packs" / os.fsdecode(name)).mkdir()
        (root / "packs" / os.fsdecode(name) / "1").touch()
        (root / "packs/ab" / os.fsdecode(name)).touch()
    os.mkfifo(root / "packs/ab/pipe")
    (root / "packs/ab/loop").symlink_to("..")
    (root / "packs/ab/nowhere").symlink_to("nothing")
    os.utime(root / "packs/ab/1", ns=(1 << 62, 1 << 62))
    assert [found.key for found in store.list("packs/")] == ["packs/ab/1"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_where_an_object_belongs_is_told(
    store: DirectoryStore, root: Path, make: Callable[[Path], None]
) -> None:
    """A pipe would let its reader wait for ever; a folder is in no listing, and no writer got past its name."""
    store.create("manifests/a/0000000001", b"")
    make(root / "manifests/a/0000000002")
    key = "manifests/a/0000000002"
    reads: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: store.get_range(key, 0, 1),
        lambda: store.head(key),
    ]
    for read in reads:
        with pytest.raises(NotFoundError):
            read()
    with pytest.raises(StoreError, match="is not a file") as caught:
        store.create(key, b"")
    assert "Delete it" in str(caught.value.hint)


def test_a_folder_on_another_disk_is_listed_through_its_link(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    store.create("packs/cd/1", b"")
    (tmp_path / "repository/packs/ab").symlink_to(tmp_path / "other")
    store.create("packs/ab/2", b"")
    assert {found.key for found in store.list("packs/")} == {"packs/cd/1", "packs/ab/2"}


def test_a_root_that_is_gone_is_not_made_again(store: DirectoryStore, root: Path) -> None:
    """A disk that is not mounted any more: what is written below its mount point fills the wrong disk."""
    root.rmdir()
    with pytest.raises(StoreError, match="gone"):
        store.create(KEY, b"data")
    assert not root.exists()


def test_a_short_write_is_continued(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal, or a disk that is nearly full, may cut a write."""
    import io

    class Short(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:1000])

    monkeypatch.setattr(object_store, "open", lambda fd, *_, **__: Short(fd, "wb"), raising=False)
    data = os.urandom(5_500)
    store.create(KEY, data)
    assert bytes(store.get(KEY)) == data


def test_a_full_disk(store: DirectoryStore, root: Path) -> None:
    """The device is full for real; the object is not there, nor its draft, and the message says what to do."""
    (root / "packs").mkdir()
    (root / "packs/ab").mkdir()
    code = f"""
import resource, signal
from backup_platform.errors import StoreError
from backup_platform.stores.object_store import DirectoryStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    DirectoryStore({str(root)!r}).create({KEY!r}, bytes(5000))
except StoreError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert f"could not write {KEY}" in done.stdout
    assert list((root / "packs/ab").iterdir()) == []


def test_a_directory_that_may_not_be_entered(tmp_path: Path) -> None:
    """Root enters any directory, so that the test gives its rights away first."""
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    DirectoryStore(str(shut)).create(KEY, b"data")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if os.geteuid() == 0 and parent != parent.parent and not parent.stat().st_mode & 0o001:
            parent.chmod(0o711)
    code = f"""
import os
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
else:
    os.chmod({str(shut)!r}, 0)
from backup_platform.errors import StoreError
from backup_platform.stores.object_store import DirectoryStore
store = DirectoryStore({str(shut)!r})
for call in (lambda: store.get({KEY!r}), lambda: store.create("packs/ab/other", b"")):
    try:
        call()
    except StoreError as error:
        assert not error.retryable, error
        print("refused" if "refused" in str(error) else error)
"""
    # Loaded before the rights are given away: the program itself may be where only root reads.
    code = "import backup_platform.stores.object_store, obstore.store, obstore.exceptions\n" + code
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["refused", "refused"], done.stderr


def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        DirectoryStore(str(tmp_path / "file" / "below"))
