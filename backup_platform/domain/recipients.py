"""Whom contents of an encrypted repository are for: what the plan and this host say, against what the repository says.

Whoever holds the repository key can add recipients and retire others. So what a repository says of its recipients is
compared with what stands outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from backup_platform.advice import command
from backup_platform.errors import RecipientsChangedError


@dataclass(frozen=True, slots=True)
class Expected:
    """Recipients (`age1…`) by what stands outside of the repository. `allowed` may be written to, `required` must be.
    `plan_key` is where they stand in the plan: contents are written to them and to nobody else. It is empty where this
    host only remembers them.
    """

    allowed: frozenset[str]
    required: frozenset[str]
    plan_key: str = ""

    def unknown(self, active: Sequence[str]) -> list[str]:
        """Whom the repository wants written to, and nobody expects."""
        return sorted(set(active) - self.allowed)

    def lacking(self, active: Sequence[str]) -> list[str]:
        """Whom the repository does not want written to any more."""
        return sorted(self.required - set(active))

    def to_write(self, active: Sequence[str]) -> list[str]:
        """Whom contents are written to, where no plan names them. Raises RecipientsChangedError where this host knows
        none of them."""
        if active and not self.allowed & set(active):
            raise RecipientsChangedError(
                f"The repository names other recipients than this host knows: {', '.join(sorted(active))}. It names "
                f"none of {', '.join(sorted(self.allowed))} any more, who could not read what is stored now.",
                hint=(
                    "If somebody did that on purpose on another host, run the same ",
                    command("key", "add", "age1…"),
                    " here, or write the recipients as `recipients` of the repository into the plan. If nobody did, a "
                    "host that writes was taken over: see docs/encryption.md.",
                ),
            )
        return list(active)


class KnownRecipients(Protocol):
    """What the plan and this host know of the recipients of one repository."""

    @property
    def pinned(self) -> Sequence[str]:
        """Those of the plan; empty where it names none."""
        ...

    def expected(self, active: Sequence[str], *, whole: bool) -> Expected:
        """Compared with `active`, those that the repository names now. They are remembered where nothing was known,
        unless some of their documents are damaged, so that these are not the `whole` of them."""
        ...

    def added(self, recipient: str) -> None:
        """By somebody on this host, on purpose."""
        ...

    def retired(self, recipient: str) -> None:
        """By somebody on this host, on purpose."""
        ...
