"""Signed, sealed documents of the ledger: what each says of its repository and its place is compared on reading."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backup_platform.domain.model import Json
from backup_platform.errors import DamageError
from backup_platform.repository.fields import instant
from backup_platform.repository.format import sign, unsign

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository


def write_document(
    repository: Repository, key: str, document: Mapping[str, Json], *, anew: bool = False
) -> None:
    """Raises ConflictError when there is one under this key, unless it is to be written `anew`."""
    _, data = sign({**document, "repository": repository.info.id}, repository.cipher.hash)
    store = repository.store
    (store.replace if anew else store.create)(key, repository.cipher.wrap(key, data).stored)


def read_document(repository: Repository, key: str, place: Mapping[str, Json]) -> dict[str, Any]:
    """`place` is what the key tells of the document. Raises DamageError when it is altered or says something else."""
    document: dict[str, Any] = unsign(key, repository.plain(key), repository.cipher.hash)[1]
    said = {name: document.get(name) for name in (*place, "repository")}
    if said != {**place, "repository": repository.info.id}:
        raise DamageError(f"The object {key} belongs elsewhere: somebody moved or copied it.")
    return document


def moment(key: str, document: Mapping[str, Any], name: str) -> datetime:
    """An instant in a document. Raises DamageError."""
    try:
        found = instant(document[name])
    except (KeyError, TypeError, ValueError) as error:
        raise DamageError(f"The document {key} has no instant {name!r}: {error}.") from error
    return found
