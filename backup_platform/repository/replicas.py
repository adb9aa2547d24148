"""Copies of a repository: the same objects, byte for byte, in another store (FORMAT.md §11)."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from backup_platform.advice import command
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Buffer, Store
from backup_platform.errors import (
    ConflictError,
    DamageError,
    NotFoundError,
    RepositoryError,
    StoreRefusedError,
)
from backup_platform.repository.objects.info import RepositoryInfo
from backup_platform.repository.objects.names import ADDED, KEYS, ROOT_KEY, HashedKey
from backup_platform.repository.points.manifests import decode_manifest

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository


def init_replica(origin: Repository, store: Store) -> RepositoryInfo:
    """Make an empty copy of a repository in an empty place: the same id, key and recipients.

    Raises ConflictError when another repository is there; a copy of the same one is taken as it is.
    """
    from backup_platform.repository.creating import require_unused
    from backup_platform.repository.objects.info import read_info

    require_unused(store)
    data = origin.store.get(ROOT_KEY)
    try:
        store.create(ROOT_KEY, data)
    except ConflictError as error:
        if read_info(store).id != origin.info.id:
            raise ConflictError(
                f"There is another repository at {store.location} already.",
                hint="Name another place in the plan.",
            ) from error
    info = read_info(store)
    _require_same(origin.info, info)
    copy_keys(origin, store)
    return info


def require_replica(origin: Repository, target: Repository) -> None:
    """Raises RepositoryError unless both are the same repository in two places."""
    _require_same(origin.info, target.info)


def _require_same(origin: RepositoryInfo, target: RepositoryInfo) -> None:
    if _is_one_directory(origin.location, target.location):
        raise RepositoryError(
            f"The repository at {origin.location} cannot be a copy of itself.",
            hint="Give the copy a place of its own in the plan.",
        )
    if (origin.id, origin.encryption, origin.key_id) != (target.id, target.encryption, target.key_id):
        raise RepositoryError(
            f"The repository at {target.location} is not a copy of the one at {origin.location}: it was created "
            "separately, and has another id or key.",
            hint=(
                "Copies need a place of their own: name an empty one in the plan, and run ",
                command("init", repository="NAME"),
                ".",
            ),
        )


def _is_one_directory(a: str, b: str) -> bool:
    """Whether two locations are the same directory, also through a link. The same URL may be two places, on two
    servers."""
    return "://" not in a + b and os.path.realpath(a) == os.path.realpath(b)


def missing_keys(origin: Repository, store: Store) -> list[str]:
    """The objects below `keys/` that a copy lacks, in the order in which they are valid."""
    there = {found.key for found in store.list(KEYS)}
    return sorted(found.key for found in origin.store.list(KEYS) if found.key not in there)


def copy_keys(origin: Repository, store: Store) -> tuple[int, list[str]]:
    """Copy the recipients and rewrapped file keys that a copy lacks, also retired recipients. Returns how many objects,
    and what is wrong with damaged ones, which are not copied. Nothing is removed: a copy may have recipients of its
    own. A recipient that nobody expects is not copied either."""
    from backup_platform.repository.encryption.key_objects import key_problems

    missing = missing_keys(origin, store)
    found = key_problems(origin.cipher) if missing else []
    problems = {each.key: str(each) for each in found}
    left = {*problems, *(each.key.removesuffix(ADDED) for each in found if each.decides)}
    for key in missing:
        if key not in left:
            with suppress(ConflictError):
                store.create(key, origin.store.get(key))
    return len(missing), [f"{origin.info.location}: {problems[key]}" for key in missing if key in problems]


def put_object(repository: Repository, key: str, data: Buffer) -> None:
    """Store an object that is named by its hash, unless it is there and sound; read it back.

    Raises DamageError, retryable, when what was written does not read back.
    """
    try:
        repository.store.create(key, data)
    except ConflictError:
        if not is_sound(repository, key):
            repository.store.replace(key, data)
    try:
        repository.objects.verified(key)
    except DamageError as error:
        raise DamageError(
            f"{error.message} It was just written to {repository.info.location}.",
            hint="Run the same command again. If it happens again, the store loses or alters data.",
            repository=repository.name,
            retryable=True,
        ) from error


def is_sound(repository: Repository, key: str) -> bool:
    """Whether the bytes of an object have the hash that is its name. False if these credentials may not read it."""
    try:
        repository.objects.verified(key)
    except (DamageError, StoreRefusedError):
        return False
    return True


def unmark_damaged(repository: Repository, key: HashedKey) -> None:
    """A pack that was mended, where these credentials may say so: else the next verify does."""
    with suppress(StoreRefusedError):
        repository.marks.unmark(key)


def copy_manifest(origin: Repository, target: Repository, point: RecoveryPoint) -> None:
    """Commit a recovery point in a copy: the same manifest under the same key, read back and compared.

    Raises ConflictError when another point is in its place, DamageError when the manifest of either is damaged.
    """
    key = origin.points.key(point)
    stored = _manifest(origin, key)
    if _decode(origin, key, stored) != point:
        raise DamageError(
            f"The manifest {key} in {origin.info.location} has changed since it was read.",
            subject=key,
            repository=origin.name,
        )
    with suppress(ConflictError):
        target.store.create(key, stored)
    if _decode(target, key, _manifest(target, key)) != point:
        raise ConflictError(diverged(target, point))


def diverged(target: Repository, point: RecoveryPoint) -> str:
    """The message that another point has the number of this one."""
    return (
        f"{point.source}: the repository at {target.info.location} has another recovery point with the number "
        f"{point.sequence}, so it is not a copy of this source."
    )


def _manifest(repository: Repository, key: str) -> Buffer:
    try:
        return repository.store.get(key)
    except NotFoundError as error:
        raise DamageError(
            f"The manifest {key} is not in {repository.info.location} any more.",
            subject=key,
            hint="Run the same command again.",
            repository=repository.name,
            retryable=True,
            missing=True,
        ) from error


def _decode(repository: Repository, key: str, stored: Buffer) -> RecoveryPoint:
    try:
        return decode_manifest(key, repository.cipher.unwrap(key, stored), repository.objects.codec)
    except DamageError as error:
        raise DamageError(
            f"{error.message} It is in {repository.info.location}.",
            hint=error.advice,
            repository=repository.name,
        ) from error
