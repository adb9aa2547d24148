"""What a store can do besides its verbs comes with it, however many wrappers its options ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform.stores.opening import open_store
from backup_platform.stores.options import StoreOptions
from backup_platform.stores.reserve import NAME

WRAPPED = {"rate": 1 << 30, "single_writer": True, "write_only": True, "repository": "main"}
INDEX = f"indexes/{'ab' * 32}"


@pytest.mark.parametrize("options", [StoreOptions(), StoreOptions(**WRAPPED)], ids=["plain", "wrapped"])  # type: ignore[arg-type]
def test_a_directory_has_drafts_and_keeps_room(tmp_path: Path, options: StoreOptions) -> None:
    can = open_store(str(tmp_path), options, create=True).capabilities
    assert can.object_lock is None
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "x#1").write_bytes(b"left by a writer that died")
    assert can.drafts
    assert [found.key for found in can.drafts.drafts()] == ["meta/x#1"]
    can.keep_room()
    assert (tmp_path / NAME).stat().st_size > 0
    with can.lending(), can.direct():
        pass


def test_inside_direct_nothing_comes_from_a_copy_on_this_machine(tmp_path: Path) -> None:
    opened = open_store("memory://", StoreOptions(cache=str(tmp_path), **WRAPPED))  # type: ignore[arg-type]
    assert opened.capabilities.drafts is None
    opened.store.create(INDEX, b"index")
    list(opened.store.list("indexes/"))
    opened.store.get(INDEX)
    (copy,) = (path for path in tmp_path.rglob("*") if path.is_file())
    copy.write_bytes(b"other")
    assert bytes(opened.store.get(INDEX)) == b"other"
    with opened.capabilities.direct():
        assert bytes(opened.store.get(INDEX)) == b"index"


def test_a_remote_store_without_a_cache_can_do_nothing_more() -> None:
    can = open_store("memory://").capabilities
    assert (can.object_lock, can.drafts) == (None, None)
    can.keep_room()
    with can.direct(), can.lending():
        pass
