"""The recipients of an encrypted repository: those that the plan and this host know, compared with those of the
repository.

Every holder of the repository key can add recipients and retire others. So the recipients in the repository are
compared with what is known from outside of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from backup_platform.advice import command
from backup_platform.errors import RecipientsChangedError


@dataclass(frozen=True, slots=True)
class Expected:
    """The recipients (`age1…`) that are known from outside of the repository. Contents may be encrypted to the
    `allowed` ones, and must be encrypted to the `required` ones. `plan_key` is their key in the plan: then contents
    are encrypted to exactly these. It is empty if this host only remembers them."""

    allowed: frozenset[str]
    required: frozenset[str]
    plan_key: str = ""

    def unknown(self, active: Sequence[str]) -> list[str]:
        """Recipients that the repository names, and that are not expected."""
        return sorted(set(active) - self.allowed)

    def lacking(self, active: Sequence[str]) -> list[str]:
        """Expected recipients that the repository does not name any more."""
        return sorted(self.required - set(active))

    def to_write(self, active: Sequence[str], doubted: Collection[str] = ()) -> list[str]:
        """The recipients of contents, if the plan names none. Nobody can tell whether the `doubted` ones were retired:
        these are taken if this host knows them. Raises RecipientsChangedError if it knows none of the active ones."""
        if self.allowed and not self.allowed & set(active):
            raise _none_left(sorted(active), sorted(self.allowed))
        return [text for text in active if text not in doubted or text in self.allowed]

    def to_rewrap(self, active: Sequence[str], doubted: Collection[str] = ()) -> list[str]:
        """The recipients for whom older contents are made readable, if the plan names none: those that this host
        knows. Raises RecipientsChangedError if it knows none of them."""
        return [text for text in self.to_write(active, doubted) if text in self.allowed]


def _none_left(active: Sequence[str], known: Sequence[str]) -> RecipientsChangedError:
    lost = f"{' or '.join(known)}, who could not read what is stored from now on."
    if not active:
        return RecipientsChangedError(
            f"The repository has no authentic document of a recipient any more. It should name {lost}",
            hint=(
                command("repair"),
                " takes them from a copy; else run ",
                command("key", "add", "age1…"),
                ".",
            ),
        )
    return RecipientsChangedError(
        f"The repository names other recipients than this host knows: {', '.join(active)}. It no longer names {lost}",
        hint=(
            "If somebody changed them on purpose on another host, run the same ",
            command("key", "add", "age1…"),
            " here, or write the recipients as `recipients` of the repository into the plan. Otherwise a host that "
            "writes was taken over: see docs/encryption.md.",
        ),
    )


class KnownRecipients(Protocol):
    """What the plan and this host know of the recipients of one repository."""

    @property
    def pinned(self) -> Sequence[str]:
        """The recipients of the plan. Empty if it names none."""
        ...

    @property
    def first_use(self) -> bool:
        """Whether this host knew no recipients of this repository before this process opened it."""
        ...

    def expected(self, active: Sequence[str], *, whole: bool) -> Expected:
        """The expected recipients, compared with `active`, which the repository names now. If nothing was known, the
        active ones are remembered, unless some of their documents are damaged: then they are not the `whole` list.
        Raises RepositoryError if the plan names none, and what this host remembers cannot be read."""
        ...

    def added(self, recipient: str) -> None:
        """Note that somebody added a recipient on this host, on purpose."""
        ...

    def retired(self, recipient: str) -> None:
        """Note that somebody retired a recipient on this host, on purpose."""
        ...

    def chosen(self, recipients: Sequence[str]) -> None:
        """Note that somebody named these on this host, on purpose. At the first use, only these are known then, and
        without any, none is."""
        ...
