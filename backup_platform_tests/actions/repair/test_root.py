"""`repository.json` comes back from a copy, and from nothing else than a copy of the same repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backup_platform.actions.repair.root import RootRepair
from backup_platform.domain.ports import Store
from backup_platform.errors import ConflictError, DamageError, RepositoryError, UsageError
from backup_platform.repository.creating import init_repository
from backup_platform.repository.objects.canonical import canonical
from backup_platform.repository.objects.names import ROOT_KEY
from backup_platform.repository.replicas import init_replica
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.actions.copy_support import Pair, make_pair
from backup_platform_tests.support import Bench, Call, Do, ScriptedStore


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Pair:
    made = make_pair(tmp_path, encrypted=request.param)
    made.backup()
    made.copy()
    return made


def root(pair: Pair) -> Path:
    return pair.bench.root / ROOT_KEY


def mending(pair: Pair, store: Store | None = None, donor: Repository | None = None) -> RootRepair:
    return RootRepair(store or pair.bench.store, donor or pair.open())


@pytest.mark.parametrize("harm", ["gone", "cut short", "empty"])
def test_it_comes_back_as_it_was(pair: Pair, harm: str) -> None:
    data = root(pair).read_bytes()
    root(pair).chmod(0o600)
    root(pair).unlink() if harm == "gone" else root(pair).write_bytes(
        data[:20] if harm == "cut short" else b""
    )
    with pytest.raises(RepositoryError):
        pair.bench.open()
    assert mending(pair).needed() == ("is missing" if harm == "gone" else "is damaged")
    mending(pair).run()
    assert root(pair).read_bytes() == data
    assert pair.bench.content(pair.bench.open().points.all()[0]) == pair.bench.source.files


def test_a_sound_one_is_not_written_over(pair: Pair) -> None:
    assert mending(pair).needed() == ""
    with pytest.raises(ConflictError):
        mending(pair).run()


def test_it_comes_from_no_other_repository(pair: Pair, tmp_path: Path) -> None:
    """Nor from itself, nor to a place that has nothing that could tell."""
    other = Bench(tmp_path / "other", encrypted=pair.bench.encrypted)
    other.source.write(b"a", b"1")
    other.backup()
    root(pair).unlink()
    with pytest.raises(RepositoryError, match="1 manifest, and none fits"):
        mending(pair, donor=other.open()).run()
    (tmp_path / "empty").mkdir()
    empty = DirectoryStore(str(tmp_path / "empty"))
    with pytest.raises(RepositoryError, match="0 manifests, and none fits"):
        mending(pair, empty).run()
    with pytest.raises(UsageError):
        mending(pair, other.store, other.open()).require_same()
    assert not root(pair).exists()
    assert not (tmp_path / "empty" / ROOT_KEY).exists()


def test_a_copy_whose_own_was_replaced_gives_none(tmp_path: Path) -> None:
    """By one that says that nothing is encrypted: what is stored cannot be read by it."""
    pair = make_pair(tmp_path, encrypted=True)
    pair.backup()
    pair.copy()
    path = pair.root / ROOT_KEY
    document = json.loads(path.read_text()) | {"encryption": "none"}
    path.chmod(0o600)
    path.write_bytes(canonical(document))
    root(pair).unlink()
    with pytest.raises(RepositoryError, match="none fits"):
        mending(pair, donor=Repository(pair.store, pair.bench.clock)).run()
    assert not root(pair).exists()


@pytest.mark.parametrize("fate", [Do.LOSE, Do.FLIP])
def test_a_store_that_does_not_keep_it_is_told(pair: Pair, fate: Do) -> None:
    root(pair).unlink()

    def script(call: Call) -> Do | None:
        return fate if call.verb == "create" and call.key == ROOT_KEY else None

    with pytest.raises(RepositoryError):
        mending(pair, ScriptedStore(pair.bench.store, script)).run()
    if fate is Do.FLIP:
        with pytest.raises(DamageError, match="damaged"):
            pair.bench.open()


def test_no_other_repository_is_made_where_points_are(pair: Pair) -> None:
    root(pair).unlink()
    with pytest.raises(ConflictError, match="is lost"):
        init_repository(pair.bench.store, pair.bench.clock)
    with pytest.raises(ConflictError, match="is lost"):
        init_replica(pair.open(), pair.bench.store)
    assert not root(pair).exists()
