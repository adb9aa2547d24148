"""Errors of a store say which repository of the plan they are about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backup_platform.domain.ports import Store, StoredObject
from backup_platform.errors import BackupError, StoreError, about_repository
from backup_platform.stores.naming import NamedStore
from backup_platform.stores.opening import open_store
from backup_platform.stores.options import StoreOptions
from backup_platform.stores.wrapping import WrappedStore

VERBS: dict[str, Callable[[Store], object]] = {
    "create": lambda store: store.create("a", b""),
    "replace": lambda store: store.replace("a", b""),
    "get": lambda store: store.get("a"),
    "get_range": lambda store: store.get_range("a", 0, 1),
    "get_tail": lambda store: store.get_tail("a", 1),
    "head": lambda store: store.head("a"),
    "list": lambda store: list(store.list("")),
    "delete": lambda store: store.delete("a"),
}


class Away:
    """A store that fails at each verb, a listing only when it is read."""

    def __getattr__(self, verb: str) -> Callable[..., object]:
        def fail(*arguments: object) -> object:
            raise StoreError("is away")

        def listing(*arguments: object) -> object:
            yield StoredObject("a", 1, None)  # type: ignore[arg-type]
            raise StoreError("is away")

        return listing if verb == "list" else fail


def test_every_verb_of_a_store_is_here() -> None:
    own = {name for name in vars(WrappedStore) if not name.startswith("_")} - {"location"}
    assert VERBS.keys() == own


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_its_errors_are_about(verb: str) -> None:
    with pytest.raises(StoreError) as caught:
        VERBS[verb](NamedStore(Away(), "offsite"))  # type: ignore[arg-type]
    assert caught.value.repository == "offsite"


def test_a_store_of_the_plan_has_the_name_and_others_have_none(tmp_path: Path) -> None:
    for name in ("", "offsite"):
        store = open_store(str(tmp_path), StoreOptions(repository=name)).store
        with pytest.raises(BackupError) as caught:
            store.get("packs/none")
        assert caught.value.repository == name
        assert caught.value.subject == "packs/none"


def test_an_error_about_another_repository_stays_so() -> None:
    with pytest.raises(StoreError) as caught, about_repository("main"), about_repository("offsite"):
        raise StoreError("is away")
    assert caught.value.repository == "offsite"
