"""A plan, bound to one of its repositories. The services are made of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from backup_platform.actions.trust.fingerprints import log_doubt
from backup_platform.domain.ports import Clock, OpenedStore
from backup_platform.domain.trust.latest import Skipped, log_skipped
from backup_platform.errors import PlanError, TargetError
from backup_platform.plan import Plan

if TYPE_CHECKING:
    from backup_platform.actions.trust.fingerprints import FingerprintCheck
    from backup_platform.plan import RepositoryConfig
    from backup_platform.repository.encryption.key_files import Keys
    from backup_platform.repository.objects.info import RepositoryInfo
    from backup_platform.repository.repository import Repository
    from backup_platform.stores.options import CredentialProvider


@dataclass
class BoundRepository:
    """The repository `name` of a plan. It is opened when it is first needed. `credentials` gives those of the store if
    the plan has none. `tell` is called for each point that `latest` skips, and `warn` if nothing vouches for the
    repository."""

    plan: Plan
    plan_path: str
    clock: Clock
    name: str
    credentials: CredentialProvider | None = None
    tell: Callable[[Skipped], None] = log_skipped
    warn: Callable[[str], None] = log_doubt

    def at(self, repository: str | None) -> BoundRepository:
        """The same plan, bound to another of its repositories; None: the first. Raises NotFoundError."""
        name = self.plan.known_repository(repository)
        if name == self.name:
            return self
        return BoundRepository(
            self.plan, self.plan_path, self.clock, name, self.credentials, self.tell, self.warn
        )

    @property
    def settings(self) -> RepositoryConfig:
        """The part of the plan that describes it."""
        return self.plan.repositories[self.name]

    @property
    def location(self) -> str:
        """The URL or path of its store, by the plan."""
        return self.plan.path(self.settings.path)

    @property
    def first_name(self) -> str:
        """The repository that backups go to. The others are copies of it."""
        return next(iter(self.plan.repositories))

    @property
    def is_first(self) -> bool:
        """Whether points are written here first."""
        return self.name == self.first_name

    @cached_property
    def repository(self) -> Repository:
        """Raises RepositoryMissingError, KeyMissingError, StoreError."""
        from backup_platform.wiring import open_repository

        return open_repository(self.plan, self.name, lambda: self.opened, self.clock, self.keys)

    @cached_property
    def opened(self) -> OpenedStore:
        from backup_platform.wiring import make_store

        return make_store(self.plan, self.settings, self.clock, provider=self.credentials)

    @property
    def giving(self) -> Repository:
        """The repository, for verbs that return data. If nothing vouches for it, the user is told before."""
        if doubt := self.recognising.doubt(self.repository.info):
            self.warn(doubt)
        return self.repository

    @property
    def recognising(self) -> FingerprintCheck:
        """What vouches for the repository being the right one."""
        from backup_platform.wiring import recognising_of

        return recognising_of(self.plan, self.name, self.clock, self.keys)

    def refuse_own_place(self, to: str) -> None:
        """Raises TargetError where `to` is a repository of the plan or its state directory, or is inside one: files
        that are written there can replace what recovery points need. A URL is passed over: it is not a directory."""
        from backup_platform.wiring import state_of

        if "://" in to:
            return
        for name, each in self.plan.repositories.items():
            with suppress(PlanError):  # a secret in its path is not on this host
                _refuse(to, f"the repository {name}", self.plan.path(each.path))
        _refuse(to, "the state of this plan", state_of(self.plan))

    @property
    def keys(self) -> Keys:
        """Where this host's keys are."""
        from backup_platform.wiring import repository_keys

        return repository_keys(self.plan, self.settings)

    def answered(self, info: RepositoryInfo) -> None:
        """Note what the repository says about itself now. If it is another one than before, it is opened again. Raises
        RepositoryError if it is not the expected one."""
        if "repository" in vars(self) and self.repository.info.fingerprint != info.fingerprint:
            del self.repository
        self.recognising.require(info)


def _refuse(to: str, what: str, own: str) -> None:
    from backup_platform.filesystem.identity import enclosing, identities

    if place := enclosing(to, identities([own])):
        inside = "" if os.path.realpath(to) == place else f"inside {place}, which is "
        raise TargetError(f"{to} is {inside}{what}.", subject=to, hint="Name a directory outside of it.")
