"""Tests of identities, in the ledger: when one last opened the newest recovery point (FORMAT.md §8)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from backup_platform.repository.encryption.recipients import (
    StoredRecipient,
    listed_keys,
    readable_recipients,
)
from backup_platform.repository.objects.documents import misplaced
from backup_platform.repository.objects.names import KEY_TESTS, recipient_name
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.objects.record_names import TIME, moment_of

KEY_TEST = re.compile(
    rf"{KEY_TESTS}(?P<name>[0-9a-f]{{64}})/[0-9T.]+Z-(?P<verdict>passed|failed)-[0-9a-f]{{8}}"
)


def list_recipients(objects: Objects) -> list[StoredRecipient]:
    """The recipients with sound documents, and the times of their last passed tests."""
    tested: dict[str, datetime] = {}
    for name, at, passed in _tests(objects):
        if passed:
            tested[name] = max(at, tested.get(name, at))
    known, _ = readable_recipients(objects, listed_keys(objects))
    return [replace(each, tested_at=tested.get(each.name)) for each in known]


def _tests(objects: Objects) -> Iterator[tuple[str, datetime, bool]]:
    for record in objects.records(KEY_TESTS):
        match, at = KEY_TEST.fullmatch(record.says), moment_of(record.says)
        if record.counts and match and at:
            yield match["name"], at, match["verdict"] == "passed"


def read_test(objects: Objects, key: str) -> None:
    """Raises DamageError unless the document of a test is authentic, and says what its name says."""
    said = objects.read_document(key).fields.values
    match, at = KEY_TEST.fullmatch(key), moment_of(key)
    told = match and at and (match["name"], match["verdict"] == "passed", at.isoformat())
    if told != (recipient_name(str(said.get("recipient"))), said.get("passed"), said.get("at")):
        raise misplaced(key)


def record_test(objects: Objects, recipient: str, point: str, now: datetime) -> None:
    """That an identity opened the newest point, in the ledger."""
    at = now.astimezone(UTC)
    name = recipient_name(recipient)
    says = f"{KEY_TESTS}{name}/{at.strftime(TIME)}-passed-{secrets.token_hex(4)}"
    objects.write_document(
        objects.names.name(says),
        {"at": at.isoformat(), "passed": True, "point": point, "recipient": recipient},
    )
