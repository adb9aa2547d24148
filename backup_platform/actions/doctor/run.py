"""Whether everything that backups and restores need is in order. Every probe runs, whatever the others find."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from backup_platform import fastcdc
from backup_platform.actions.evidence import FIND_OUT, Doubts, Evidence
from backup_platform.actions.forget.lost import Losses, own_gone
from backup_platform.actions.trust.fingerprints import FingerprintCheck
from backup_platform.advice import Command, Hint, advice, command, written
from backup_platform.domain.model import Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.trust.latest import choose_latest, in_time
from backup_platform.domain.trust.suspicion import advice as what_to_do
from backup_platform.domain.windows.health import MissedWindows
from backup_platform.domain.windows.runs import ending_after
from backup_platform.domain.words import how_many, point_label, size, were, with_others
from backup_platform.errors import (
    BackupError,
    DamageError,
    PlanError,
    RepositoryError,
    SourceError,
    StoreError,
)
from backup_platform.extras import not_installed
from backup_platform.repository.encryption.key_objects import key_problems
from backup_platform.repository.objects.record_names import moment_of
from backup_platform.repository.replicas import require_replica
from backup_platform.repository.repository import Repository

if TYPE_CHECKING:
    from backup_platform.repository.encryption.age_cipher import AgeCipher


_DEFECT = "This is a defect in backup-platform. It says nothing about what was examined."
LATELY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """The verdict of one probe. `advice` says what to do if it is not `ok`. `repository` is the repository that it is
    about."""

    name: str
    ok: bool
    detail: str
    advice: Hint = ""
    repository: str = ""

    @property
    def hint(self) -> str:
        """The advice as text, for callers that know no plan."""
        return written(self.advice)


@dataclass(frozen=True, slots=True)
class Examination:
    """What is examined.

    Each of `sources` returns what was found there, or raises why the source cannot be backed up. `windows` gives for
    each source the windows that lack a point. `channels` names the alert channels, or raises why they cannot be used.
    Each of `copies`, the other repositories, returns what was found there, or raises why nothing can be copied to it.
    `filled_by` is the command that stores a source's points, `drills` says when the plan wants a source drilled, and
    `recognising` is what vouches for the repository.
    """

    plan_path: str
    secrets: Callable[[], tuple[Sequence[str], Sequence[BackupError]]]
    sources: Mapping[str, Callable[[], str]]
    repository: Callable[[], Repository]
    store: Callable[[], str]
    points: Callable[[], Sequence[RecoveryPoint]]
    channels: Callable[[], Sequence[str]]
    recognising: Callable[[], FingerprintCheck]
    windows: Mapping[str, Callable[[], MissedWindows]] = field(default_factory=dict)
    copies: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    filled_by: Callable[[str], Command] = lambda source: command("backup", source)
    drills: Mapping[str, str] = field(default_factory=dict)
    coverage: Callable[[], Iterable[DoctorFinding]] = tuple
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def run(self) -> list[DoctorFinding]:
        findings = [
            DoctorFinding("plan", True, f"{self.plan_path}: {how_many(len(self.sources), 'source')}"),
            self._probe("secrets", self._secrets),
            self._probe("repository", self._repository),
        ]
        findings += [self._probe(f"source {name}", probe) for name, probe in self.sources.items()]
        if findings[2].ok:
            findings[3:3] = [
                self._probe("fingerprint", self._fingerprint),
                *self._keys(),
                self._probe("store", self.store),
            ]
            findings += [self._probe("scratch space", self._scratch), *self._windows(), *self._proofs()]
            findings += [self._probe("stored points", self._own_points), self._probe("ledger", self._ledger)]
        findings += [self._probe(f"copy {name}", probe) for name, probe in self.copies.items()]
        findings += self.coverage()
        findings += [DoctorFinding("chunker", True, fastcdc.SLOW)] if fastcdc.is_slow() else []
        return [*findings, self._probe("alerts", self._alerts)]

    def _probe(self, name: str, probe: Callable[[], str]) -> DoctorFinding:
        try:
            return DoctorFinding(name, True, probe())
        except (
            Exception
        ) as error:  # one that nobody foresaw must not keep the other findings from whoever asks
            known = error if isinstance(error, BackupError) else not_installed(error)
            if known is None:
                return DoctorFinding(name, False, f"{type(error).__name__}: {error}", _DEFECT)
            return DoctorFinding(name, False, known.message, known.advice, known.repository)

    def _secrets(self) -> str:
        references, missing = self.secrets()
        if missing:
            texts = "; ".join(error.message for error in missing)
            raise PlanError(
                texts, hint=missing[0].advice if len(missing) == 1 else "Set each of them where this runs."
            )
        return f"all {len(references)} can be looked up" if references else "the plan refers to none"

    def _repository(self) -> str:
        return _writable(self.repository(), len(self.points()))

    def _fingerprint(self) -> str:
        info, recognising = self.repository().info, self.recognising()
        if state := recognising.state(info):
            return f"{info.fingerprint}, {state}"
        raise RepositoryError(
            f"{info.fingerprint}: nothing vouches for this repository on this host",
            hint="Compare it with what init printed or the recovery sheet says, then write it as "
            f"{recognising.plan_key}.fingerprint into the plan.",
        )

    def _keys(self) -> Iterator[DoctorFinding]:
        """Of an encrypted repository: who can read what is stored, and whether what is below `keys/` is whole."""
        from backup_platform.repository.encryption.age_cipher import AgeCipher

        cipher = self.repository().cipher
        if isinstance(cipher, AgeCipher):
            yield self._probe("keys", partial(_sound_keys, self.repository(), cipher))

    def _scratch(self) -> str:
        """A drill restores a whole recovery point into the temporary directory."""
        if not self.repository().cipher.reads_contents:
            return "this host cannot drill: it has no identity"
        directory = tempfile.gettempdir()
        free = shutil.disk_usage(directory).free
        needed = max((p.stats.source_bytes for p in self.points()), default=0)
        if free < needed:
            raise StoreError(
                f"{directory} has {size(free)} free, the largest drill needs {size(needed)}.",
                subject=directory,
                hint="Point TMPDIR at a larger disk.",
            )
        return f"{directory} has {size(free)} free, the largest drill needs {size(needed)}"

    def _windows(self) -> Iterator[DoctorFinding]:
        found = _by_source(self.points())
        for source, missing in self.windows.items():
            mine = [p for p in found.get(source, ()) if not p.incomplete and in_time(p)]
            newest = max((point.window.start for point in mine), default=None)
            look = partial(_up_to_date, source, missing, newest, self.filled_by(source), self.now())
            yield self._probe(f"windows of {source}", look)

    def _proofs(self) -> Iterator[DoctorFinding]:
        recorded, found = self.repository().proofs.by_point(), _by_source(self.points())
        stored = _by_source(self.repository().points.readable()[0])
        for source in self.sources:
            mine = found.get(source, [])
            if mine:
                yield _latest(source, stored.get(source, []))
            drilled = _last_drill(mine, recorded)
            if not drilled and mine and (elsewhere := self._drilled_elsewhere(source)):
                yield DoctorFinding(f"proof of {source}", True, elsewhere)
                continue
            yield _proof(source, mine, drilled, self.filled_by(source))

    def _own_points(self) -> str:
        """Also if the store went back to an older state as a whole."""
        gone = own_gone(self.repository(), None, self.points())
        if gone:
            texts = Losses(gone, own=frozenset(each.point for each in gone)).texts()
            raise DamageError(with_others(texts), hint="docs/repair.md says what to do.")
        known = self.repository().known
        stored = len(known.own_points())
        if known.problem:
            raise RepositoryError(
                f"{known.problem}. So nothing tells whether points that this host stored are lost.",
                hint="Give the `state` directory and all that it holds to the user who runs backups, with chown and "
                "chmod.",
            )
        points = how_many(stored, "point")
        return (
            f"none of the {points} that this host stored is lost" if stored else "this host stored none yet"
        )

    def _ledger(self) -> str:
        doubts = Evidence(self.repository()).of_all()
        if doubts.forged:
            raise DamageError(doubts.forgery(), hint=FIND_OUT)
        if doubts.counting:
            raise DamageError(doubts.forged_marks(), hint=FIND_OUT)
        if claims := doubts.false_claims():
            raise DamageError(claims[0], hint="docs/repair.md says what to do.")
        if doubts.holds:
            raise DamageError(doubts.holds[0], hint=(command("holds"), " lists them."))
        if doubts.older:
            raise RepositoryError(doubts.age(), hint=("Run ", command("repair"), "."))
        later = [key for key in doubts.ahead if (at := moment_of(key)) and at > self.now()]
        if later:
            raise RepositoryError(Doubts(ahead=tuple(later)).future())
        note = f". {doubts.strangers()}" if doubts.strange else ""
        if self.repository().objects.names.secret:
            return f"all records were made with the repository's key{note}"
        return f"no record is altered; without encryption, anybody who can write to the store can forge records{note}"

    def _drilled_elsewhere(self, source: str) -> str:
        """Why this host does not have to drill; empty if it has to."""
        if self.drills.get(source) == "never":
            return "never drilled, as the plan says"
        if not self.repository().cipher.reads_contents:
            return "no drill is recorded yet: drills need a host with an identity, and this host has none"
        return ""

    def _alerts(self) -> str:
        channels = self.channels()
        if not channels:
            raise StoreError(
                "no alert channel: nobody is told about failures.",
                hint="Add a channel to `alerts` in the plan.",
            )
        return ", ".join(channels)


def _by_source(points: Sequence[RecoveryPoint]) -> dict[str, list[RecoveryPoint]]:
    found = defaultdict[str, list[RecoveryPoint]](list)
    for point in points:
        found[point.source].append(point)
    return found


def _sound_keys(repository: Repository, cipher: AgeCipher) -> str:
    from backup_platform.repository.encryption.recipients import listed_keys, readable_recipients

    if problems := key_problems(repository.cipher):
        texts = "; ".join(f"{each.key} {each.what}: {each.effect}" for each in problems)
        raise RepositoryError(texts, hint=(*advice(problems[0].advice), "."))
    known, _ = readable_recipients(cipher.objects, listed_keys(cipher.objects))
    active = [each for each in known if not each.retired_at]
    newest = max(known, key=lambda each: each.added_at)
    return f"{how_many(len(active), 'recipient')}, the last was added on {newest.added_at:%Y-%m-%d}: {newest.text}"


def probe_copy(origin: Callable[[], Repository], copy: Repository, points: int) -> str:
    """What was found of a copy, even if its origin cannot be reached. Raises RepositoryError, StoreError."""
    try:
        first = origin()
    except BackupError:
        first = None
    if first is not None:
        require_replica(first, copy)
    return _writable(copy, points)


def _writable(repository: Repository, points: int) -> str:
    location = repository.info.location
    if "://" not in location and os.statvfs(location).f_flag & os.ST_RDONLY:
        raise StoreError(
            f"{location} is on a file system that is mounted read-only.",
            subject=location,
            hint="Mount it for writing.",
        )
    if "://" not in location and not os.access(location, os.W_OK):
        raise StoreError(
            f"{location} cannot be written.",
            subject=location,
            hint="Give this user the permission to write there.",
        )
    return (
        f"{location}, format 1, encryption {repository.info.encryption}, {how_many(points, 'recovery point')}"
    )


def _up_to_date(
    source: str,
    missing: Callable[[], MissedWindows],
    newest: datetime | None,
    filled_by: Command,
    now: datetime,
) -> str:
    """Whether the last due window is backed up. Windows that can still be backed up are an error, and so are windows
    that were missed in the last days, because perhaps nobody has asked why yet. Older ones are only counted."""
    found = missing()
    gone = found.missed[-1].key if found.missed else ""
    count = how_many(len(found.missed), "window")
    told = f"; {count} missed since {found.missed[0].key}, the last one {gone}" if gone else ""
    hint = ("Run ", filled_by, ", and see docs/repair.md for how to find out why there is none.")
    if found.catchable:
        keys = ", ".join(window.key for window in found.catchable[-3:])
        raise SourceError(f"no recovery point yet for {keys}, which can still be backed up{told}", hint=hint)
    if gone and (newest is None or newest < found.missed[-1].start):
        raise SourceError(f"no recovery point is newer than the missed windows{told}", hint=hint)
    lately = ending_after(found.missed, now - LATELY)
    if lately:
        many = f"{how_many(len(lately), 'window')} {were(len(lately))} missed"
        raise SourceError(
            f"{many} within the last {LATELY.days} days{told}",
            hint="The last due window is backed up. docs/repair.md says how to find out why the others were not. "
            f"This error ends {LATELY.days} days after the last of them.",
        )
    return ("the last due window is backed up" if newest else "no window was due yet") + told


def _latest(source: str, points: Sequence[RecoveryPoint]) -> DoctorFinding:
    """Which point `latest` selects. It is a failure if newer points are skipped."""
    choice, name = choose_latest(points), f"latest of {source}"
    chosen = choice.point
    meant = point_label(chosen) if chosen else "no recovery point"
    if chosen is not None and not in_time(chosen):
        text = f"{meant}: its window had not begun when it was stored"
        return DoctorFinding(name, False, text, "Set the clocks of this host and of the store.")
    if not choice.newer:
        return DoctorFinding(name, True, meant)
    newest = choice.newer[-1]
    return DoctorFinding(name, False, f"{meant}; {newest}", _mend(newest.point))


def _mend(point: RecoveryPoint) -> Hint:
    if point.is_suspect:
        return what_to_do(point)
    if not in_time(point):
        return ("Set the clock of the host that made it, and run ", command("backup", point.source), ".")
    return (command("show", point_label(point)), " lists what is not in it.")


def _last_drill(
    points: Sequence[RecoveryPoint], recorded: Mapping[str, Sequence[Proof]]
) -> tuple[str, datetime] | None:
    """The window and time of the last one that passed."""
    proven = [
        (p.window.key, proof.at)
        for p in points
        for proof in recorded.get(p.id, ())
        if proof.passed and proof.method is ProofMethod.DRILL and in_time(p) and not p.is_suspect
    ]
    return max(proven, key=lambda pair: pair[1], default=None)


def _proof(
    source: str, points: Sequence[RecoveryPoint], drilled: tuple[str, datetime] | None, filled_by: Command
) -> DoctorFinding:
    name = f"proof of {source}"
    if not points:
        return DoctorFinding(name, False, "no recovery point", ("Run ", filled_by, "."))
    if drilled is None:
        drill = ("Run ", command("drill", f"{source}@latest"), ".")
        return DoctorFinding(name, False, "never drilled", drill if choose_latest(points).point else "")
    window, at = drilled
    return DoctorFinding(
        name, True, f"{source}@{window} was restored and compared at {at:%Y-%m-%d %H:%M} UTC"
    )
