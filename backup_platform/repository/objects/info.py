"""What `repository.json` says (FORMAT.md §2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from blake3 import blake3

from backup_platform.advice import command
from backup_platform.domain.fingerprint import DIGITS, grouped
from backup_platform.domain.ports import Store
from backup_platform.errors import (
    DamageError,
    NotFoundError,
    RepositoryError,
    RepositoryMissingError,
)
from backup_platform.repository.objects.canonical import parse
from backup_platform.repository.objects.documents import instant
from backup_platform.repository.objects.names import FORMAT, ROOT_KEY


@dataclass(frozen=True, slots=True)
class RepositoryInfo:
    """The content of `repository.json`."""

    id: str
    location: str
    created_at: datetime
    encryption: str
    key_id: str = ""

    @property
    def fingerprint(self) -> str:
        """The fingerprint, from what the document says. It is valid for an opened repository, because its key had
        this `key_id`."""
        text = f"{self.encryption}\n{self.id}\n{self.key_id}"
        name = blake3(text.encode(), derive_key_context="backup_platform 1 fingerprint").hexdigest()
        return grouped(name[:DIGITS])


def read_info(store: Store) -> RepositoryInfo:
    """Read `repository.json`. Raises RepositoryMissingError, DamageError, or RepositoryError for an unsupported
    format version."""
    try:
        data = store.get(ROOT_KEY)
    except NotFoundError as error:
        missing = RepositoryMissingError(
            f"There is no repository at {store.location}.",
            hint=("Mount what holds it. If there was none yet: ", command("init"), "."),
        )
        missing.empty = True
        raise missing from error
    try:
        document = parse(ROOT_KEY, bytes(data))
        if document["format"] != FORMAT:
            raise RepositoryError(
                f"The repository at {store.location} has format {document['format']}, but this version reads {FORMAT}.",
                hint="Install a newer backup-platform.",
            )
        created = instant(document["created_at"])
        texts = [document["id"], document["encryption"], document.get("key_id", "")]
        if not all(isinstance(text, str) for text in texts) or created.tzinfo is None:
            raise TypeError("a field has the wrong type")  # noqa: TRY301
        return RepositoryInfo(texts[0], store.location, created, texts[1], texts[2])
    except (ValueError, KeyError, TypeError, DamageError) as error:
        raise DamageError(f"{ROOT_KEY} at {store.location} is damaged: {str(error).rstrip('.')}.") from error
