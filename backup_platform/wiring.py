"""From parts of the plan to the objects that they describe. The module of a kind is only imported when it is named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import date, datetime
from typing import TYPE_CHECKING

from backup_platform.domain.limits import MAX_RECIPIENTS
from backup_platform.domain.ports import Clock, DatabaseSource, OpenedStore, Source, Store
from backup_platform.errors import (
    PlanError,
    RecipientsChangedError,
    RepositoryError,
    UsageError,
    about_repository,
)
from backup_platform.kinds import registry
from backup_platform.kinds.kind import SourceContext

if TYPE_CHECKING:
    from backup_platform.actions.coverage.bucket import Bucket
    from backup_platform.actions.coverage.run import CoverageSurvey
    from backup_platform.actions.trust.fingerprints import FingerprintCheck, KnownPlace
    from backup_platform.actions.trust.recipients import RecipientMemory
    from backup_platform.domain.coverage import Surroundings
    from backup_platform.domain.model import RecoveryPoint
    from backup_platform.domain.restoring import DatabaseTarget
    from backup_platform.domain.trust.suspicion import Demands
    from backup_platform.domain.windows.schedule import Ticks, WindowSchedule
    from backup_platform.kinds.kind import Purpose
    from backup_platform.plan import Plan, SourceConfig
    from backup_platform.plan.coverage import BucketPlace
    from backup_platform.plan.repository import RepositoryConfig
    from backup_platform.repository.encryption.key_files import Keys, Secret
    from backup_platform.repository.repository import Repository
    from backup_platform.stores.options import CredentialProvider, StoreOptions

PLAN_VARIABLE = "BACKUP_PLATFORM_PLAN"
DEFAULT_PLAN = "backup.yaml"


def repository_keys(plan: Plan, repository: RepositoryConfig) -> Keys:
    """Where this host's keys are: as the environment says, else as the plan says. Reads none of them. Copies have the
    key of the first repository, so its part of the plan is used for them, too."""
    from backup_platform.repository.encryption.key_files import IDENTITY_VARIABLE, KEY_VARIABLE, Keys

    first = plan.repository
    key = repository if repository.key_file else first
    identity = repository if repository.identity_file else first
    return Keys(
        _secret(plan, KEY_VARIABLE, key.key_file, f"{plan.key_of(key)}.key_file"),
        _secret(plan, IDENTITY_VARIABLE, identity.identity_file, f"{plan.key_of(identity)}.identity_file"),
        plan_key=plan.key_of(first),
    )


def open_repository(
    plan: Plan, name: str, open_store: Callable[[], OpenedStore], clock: Clock, keys: Keys
) -> Repository:
    """A repository of the plan. Raises RepositoryMissingError, KeyMissingError, StoreError."""
    from backup_platform.repository.packs.known import Known
    from backup_platform.repository.points.notes import Notes
    from backup_platform.repository.repository import Repository

    recognising = recognising_of(plan, name, clock, keys)
    level = plan.repositories[name].compression
    with about_repository(name):
        opened = open_store()
        repository = Repository(
            opened.store,
            clock,
            level=level,
            keys=keys,
            expect=recognising.require,
            capabilities=opened.capabilities,
        )
    repository.name = name
    # copies have the id of the first repository, and other points
    repository.known = Known(
        os.path.join(state_of(plan), "known", repository.info.id),
        sources=tuple(plan.sources),
        expects_points=name == next(iter(plan.repositories)),
    )
    repository.notes = Notes(os.path.join(state_of(plan), "judged", repository.info.id, name))
    recognising.opened(repository.info)
    _expect_recipients(repository, known_recipients_of(plan, name, repository.info.fingerprint, clock))
    return repository


def _expect_recipients(repository: Repository, known: RecipientMemory) -> None:
    if repository.info.key_id:
        from backup_platform.actions.keys.run import cipher_of
        from backup_platform.repository.encryption.recipients import meet_recipients

        cipher_of(repository).known_recipients = known
        meet_recipients(repository.objects, known)
    elif known.pinned:
        raise RecipientsChangedError(
            f"The repository at {repository.info.location} is not encrypted, but the plan has "
            f"{known.plan_key}.recipients.",
            hint="Somebody may have put another repository there. If it is not to be encrypted, remove the line.",
        )


def recognising_of(plan: Plan, name: str, clock: Clock, keys: Keys) -> FingerprintCheck:
    """What vouches for a repository of the plan being the right one. Copies have the fingerprint of the first."""
    from backup_platform.actions.trust.fingerprints import FingerprintCheck, Pin

    settings = plan.repositories[name]
    pinned = next((each for each in (settings, *plan.repositories.values()) if each.fingerprint), None)
    return FingerprintCheck(
        _place(plan, name),
        _other_places(plan, name),
        Pin(pinned.fingerprint, plan.key_of(pinned)) if pinned and pinned.fingerprint else None,
        lambda: keys.repository_key() is not None,
        plan.key_of(settings),
        clock,
    )


def known_recipients_of(plan: Plan, name: str, fingerprint: str, clock: Clock) -> RecipientMemory:
    """The known recipients of a repository of the plan. Copies have the recipients of the first."""
    from backup_platform.actions.trust.recipients import RecipientMemory, RecipientNote

    settings = plan.repositories[name]
    naming = settings if settings.recipients else plan.repository
    note = RecipientNote.beside(_place(plan, name).note)
    return RecipientMemory(
        note,
        [RecipientNote.beside(other.note) for other in _other_places(plan, name)],
        tuple(naming.recipients or ()),
        plan.key_of(naming),
        fingerprint,
        clock,
        first_use=note.is_new(fingerprint),
    )


def _place(plan: Plan, name: str) -> KnownPlace:
    from backup_platform.actions.trust.fingerprints import KnownPlace

    settings = plan.repositories[name]
    endpoint = plan.secret(settings.endpoint or "")
    return KnownPlace.of(state_of(plan), name, plan.path(settings.path), endpoint)


def _other_places(plan: Plan, name: str) -> list[KnownPlace]:
    found = []
    for other in plan.repositories:
        with suppress(PlanError):  # one that this host knows no way to
            found += [_place(plan, other)] if other != name else []
    return found


def _secret(plan: Plan, variable: str, value: str | None, name: str) -> Secret | None:
    from backup_platform.repository.encryption.key_files import Secret

    if (path := os.environ.get(variable)) == "":
        return Secret(variable, problem=f"{variable} is set, and empty")
    if path:
        return Secret(os.path.abspath(os.path.expanduser(path)))
    if value is None:
        return None
    try:
        return Secret.of(plan.secret(value), name, plan.path)
    except PlanError as error:  # hosts share a plan, and do not have the same secrets
        return Secret(name, problem=error.message)


def read_plan(named: str | None) -> tuple[Plan, str]:
    """The plan at a path, else $BACKUP_PLATFORM_PLAN, else ./backup.yaml; and its absolute path. Raises PlanError."""
    from backup_platform.plan import Plan

    path = os.environ.get(PLAN_VARIABLE, DEFAULT_PLAN) if named is None else named
    if not path:
        raise PlanError(
            f"{PLAN_VARIABLE} is set, and empty." if named is None else "The plan's path is empty.",
            hint=f"Name the plan's file, or unset {PLAN_VARIABLE} to use ./{DEFAULT_PLAN}.",
        )
    plan = Plan.load(os.path.abspath(path))
    _check_whole(plan)
    return plan, os.path.abspath(path)


def _check_whole(plan: Plan) -> None:
    """Raises PlanError for places that contain each other, and for texts that are not recipients."""
    from backup_platform.plan.places import place_problems

    if found := [*place_problems(plan), *_recipient_problems(plan)]:
        raise PlanError("\n".join(found))


def _recipient_problems(plan: Plan) -> Iterator[str]:
    """A mistyped one would make every backup unreadable to whom it is meant for."""
    from backup_platform.repository.encryption import bech32

    for repository in plan.repositories.values():
        if (count := len(repository.recipients or ())) > MAX_RECIPIENTS:
            yield f"{plan.key_of(repository)}.recipients: {count} are named, and the limit is {MAX_RECIPIENTS}."
        for number, recipient in enumerate(repository.recipients or ()):
            try:
                bech32.decode("age", recipient)
            except ValueError as error:
                yield f"{plan.key_of(repository)}.recipients.{number}: {recipient!r} is not a recipient: {error}."


def make_source(name: str, plan: Plan, clock: Clock, purpose: Purpose = "capture") -> Source:
    """The source of that name. It only looks up the secrets of its part of the plan that the purpose needs: a host that
    restores need not know how the original is reached."""
    source = plan.sources[name]
    return source.source_kind.build(source, _source_context(name, plan, clock, purpose))


def _source_context(name: str, plan: Plan, clock: Clock, purpose: Purpose) -> SourceContext:
    return SourceContext(
        name, purpose, clock, plan.secret, plan.path, repositories=lambda: tuple(_local_repositories(plan))
    )


def make_survey(
    plan: Plan, plan_path: str, clock: Clock, assets: Callable[[], Surroundings] | None = None
) -> CoverageSurvey:
    """What looks for all that is in no source of the plan. Touches nothing yet. `assets` lists those of Dagster."""
    from backup_platform.actions.coverage.run import CoverageSurvey

    def context(name: str) -> SourceContext:
        return _source_context(name, plan, clock, "capture")

    def bucket(name: str, place: BucketPlace) -> Bucket:
        return _bucket(plan, f"coverage.{name}", place)

    return CoverageSurvey(plan, plan_path, clock, state_of(plan), context, bucket, assets)


def _bucket(plan: Plan, key: str, place: BucketPlace) -> Bucket:
    """A bucket of the plan's `coverage`. Raises PlanError, StoreError."""
    from backup_platform.actions.coverage.bucket import Bucket
    from backup_platform.stores.options import StoreOptions
    from backup_platform.stores.remote import open_url

    options = StoreOptions(
        endpoint=plan.secret(place.endpoint or ""),
        region=plan.secret(place.region or ""),
        path_style=place.path_style,
        allow_http=place.allow_http,
        credentials={name: plan.secret(value) for name, value in place.credentials.items()},
        plan_key=key,
    )
    store = open_url(plan.path(place.store), options)
    return Bucket(store.location, store.level, list(_repositories_in(plan, place)))


def _repositories_in(plan: Plan, place: BucketPlace) -> Iterator[str]:
    """The prefixes of repositories in a bucket; "" for one that holds all of it."""
    from backup_platform.plan.values import same_place

    here, endpoint = same_place(plan.path(place.store), plan.base), plan.secret(place.endpoint or "")
    for repository in plan.repositories.values():
        with suppress(PlanError):  # one that this host knows no way to
            there = same_place(plan.path(repository.path), plan.base)
            if plan.secret(repository.endpoint or "").rstrip("/") == endpoint.rstrip("/"):
                if f"{here}/".startswith(f"{there}/"):
                    yield ""
                elif there.startswith(f"{here}/"):
                    yield there.removeprefix(f"{here}/")


def _local_repositories(plan: Plan) -> Iterator[str]:
    for repository in plan.repositories.values():
        with suppress(PlanError):  # one that this host knows no way to
            if "://" not in (location := plan.path(repository.path)):
                yield location


def make_store(
    plan: Plan,
    repository: RepositoryConfig,
    clock: Clock,
    *,
    create: bool = False,
    provider: CredentialProvider | None = None,
) -> OpenedStore:
    """The store of a repository of the plan. Raises PlanError, RepositoryMissingError, StoreError."""
    from backup_platform.stores.opening import open_store

    options = store_options(plan, repository, clock, provider)
    with about_repository(options.repository):
        return open_store(plan.path(repository.path), options, create=create)


def probe_planned(store: Store, plan: Plan, repository: RepositoryConfig) -> str:
    """What a probe of the store found, before a repository relies on it. Raises StoreError."""
    from backup_platform.stores.probe import probe_store, require_one_creator

    probe = probe_store(store)
    if not repository.single_writer:
        require_one_creator(store, probe, plan.key_of(repository))
    return str(probe)


def store_options(
    plan: Plan, store: RepositoryConfig, clock: Clock, provider: CredentialProvider | None = None
) -> StoreOptions:
    """What the plan says of a store, with secrets looked up."""
    from backup_platform.stores.options import StoreOptions

    return StoreOptions(
        endpoint=plan.secret(store.endpoint or ""),
        region=plan.secret(store.region or ""),
        path_style=store.path_style,
        allow_http=store.allow_http,
        credentials={name: plan.secret(value) for name, value in store.credentials.items()},
        provider=provider,
        single_writer=store.single_writer,
        write_only=store.write_only,
        rate=store.bandwidth or 0,
        storage_class=store.storage_class,
        lock=store.lock,
        lock_mode=store.lock_mode,
        cache=os.path.join(state_of(plan), "cache"),
        now=clock.now,
        plan_key=plan.key_of(store),
        repository=next((name for name, each in plan.repositories.items() if each is store), ""),
    )


def demands_of(source: SourceConfig) -> Demands:
    """What the plan says about the contents of a source."""
    from backup_platform.domain.trust.suspicion import Demands

    expect, empty = source.expect, source.allow_empty
    return Demands(
        allow_empty=empty is True,
        may_be_empty=tuple(empty) if isinstance(empty, list) else (),
        shrink=float(source.shrink.rstrip("%")) / 100,
        files=expect.files,
        bytes=expect.bytes,
        paths=tuple(expect.paths),
        tables=tuple(expect.tables),
        rows=dict(expect.rows),
    )


def state_of(plan: Plan) -> str:
    """The plan's directory for notes that may be lost."""
    return plan.path(plan.state) if plan.state else state_directory()


def remembered_creation(
    plan_path: str, location: str, state: str, clock: Clock, read: Callable[[], datetime]
) -> datetime:
    """When the repository was created, which `read` tells; of a remote one it is remembered, so that it is known while
    that is away. The current instant when it was never seen.
    """
    note = os.path.join(state, hashlib.sha256(f"{plan_path}\n{location}".encode()).hexdigest()[:32])
    if "://" in location:
        with suppress(OSError, ValueError), open(note, encoding="ascii") as file:
            return datetime.fromisoformat(file.read())
    with suppress(RepositoryError, PlanError):
        created = read()
        if "://" in location:
            _remember(note, created)
        return created
    return clock.now()


def _remember(note: str, created: datetime) -> None:
    with suppress(OSError):
        os.makedirs(os.path.dirname(note), mode=0o700, exist_ok=True)
        with open(f"{note}.{os.getpid()}", "w", encoding="ascii") as file:
            file.write(created.isoformat())
        os.replace(f"{note}.{os.getpid()}", note)


def state_directory() -> str:
    """The directory for small files that may be lost (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "backup-platform")


def make_schedule(plan: SourceConfig, since: datetime | date) -> WindowSchedule:
    """The windows of a source; `since` holds where its own part of the plan has none."""
    from backup_platform.domain.windows.schedule import WindowSchedule

    return WindowSchedule(
        plan.cadence,
        plan.timezone,
        since=plan.since or since,
        at=plan.at,
        late_limit=plan.late_limit,
        ticks=_ticks(plan.cron) if plan.cron else None,
    )


def _ticks(cron: str) -> Ticks:
    from cronsim import CronSim

    def ticks(start: datetime, reverse: bool) -> Iterator[datetime]:
        return iter(CronSim(cron, start, reverse=reverse))

    return ticks


def require_kind(point: RecoveryPoint, source: SourceConfig) -> None:
    """Raises UsageError if the plan now has a source of another kind by this name."""
    if source.kind != point.kind:
        raise UsageError(
            f"{point.source} was captured as {point.kind}, and the plan now says {source.kind}.",
            subject=point.source,
            hint=f"To read its points, write `{point.kind}: …` there, with any value. Give a new source another name.",
        )


def as_database(source: Source, target: DatabaseTarget) -> DatabaseSource:
    """Raises UsageError for a source that cannot be restored into a server, and for options that a restore of its kind
    does not use."""
    server = registry.described(source.kind).server
    if server is None or not isinstance(source, DatabaseSource):
        raise UsageError(
            f"{source.name} cannot be restored into a server.",
            subject=source.name,
            hint="Restore it into a directory: --to DIR.",
        )
    for each in fields(target):
        given = each.name != "url" and getattr(target, each.name) != each.default
        if given and each.name not in server.options:
            raise UsageError(
                f"A restore of {source.name} does not use `{each.name}`: sources with `{source.kind}` do not have it.",
                subject=source.name,
            )
    return source
