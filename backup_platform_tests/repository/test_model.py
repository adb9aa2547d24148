"""A repository driven at random, against a model: each committed recovery point reads exactly as at its capture."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.verify.packs import read_packs
from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain.ports import Store
from backup_platform.errors import BackupError, DamageError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.repository import Repository
from backup_platform_tests.scratch import scratch
from backup_platform_tests.support import (
    Bench,
    Call,
    Do,
    Killed,
    QuietProgress,
    ScriptedSource,
    ScriptedStore,
    content_of,
    noise,
    text,
)

PATHS = st.sampled_from([b"a", b"a/b", b"a.b", b"c/d/e", b"c/d-e", b"\xff\xfe", b"z"])
DATA = st.one_of(
    st.just(b""),
    st.builds(text, st.integers(1, 5_000), st.integers(0, 3)),
    st.builds(noise, st.integers(60_000, 300_000), st.integers(0, 3)),
)
NAMES = st.sampled_from(["docs", "mail"])
FATES = st.sampled_from([Do.FAIL, Do.FAIL_AFTER, Do.DIE, Do.DIE_AFTER, Do.LOSE])
SHARES = st.sampled_from([ReadShare(), ReadShare(0), ReadShare(3, 1)])


class RepositoryMachine(RuleBasedStateMachine):
    encrypted = False

    @initialize()
    def create(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=scratch()))
        self.bench = Bench(self.folder, encrypted=self.encrypted)
        self.sources = {name: ScriptedSource(self.bench.clock, name) for name in ("docs", "mail")}
        self.expected: dict[str, dict[bytes, bytes]] = {}
        self.repository = self.bench.open()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(name=NAMES, path=PATHS, data=DATA)
    def write(self, name: str, path: bytes, data: bytes) -> None:
        files = self.sources[name].files
        for other in [p for p in files if p.startswith(path + b"/") or path.startswith(p + b"/")]:
            self.sources[name].remove(other)  # a name is a file or a directory
        self.sources[name].write(path, data)

    @rule(name=NAMES, path=PATHS)
    def remove(self, name: str, path: bytes) -> None:
        if path in self.sources[name].files:
            self.sources[name].remove(path)

    @rule(minutes=st.integers(1, 200))
    def wait(self, minutes: int) -> None:
        self.bench.clock.advance(minutes=minutes)

    @rule(name=NAMES, force=st.booleans(), batch=st.integers(1, 9))
    def backup(self, name: str, force: bool, batch: int) -> None:
        self.sources[name].batch = batch
        self._backup(name, self.bench.store, force=force, kept=self.repository)

    @rule(name=NAMES, call=st.integers(1, 40), fate=FATES)
    def backup_that_breaks(self, name: str, call: int, fate: Do) -> None:
        def script(made: Call) -> Do | None:
            return fate if made.number == call else None

        try:
            self._backup(name, ScriptedStore(self.bench.store, script), force=True)
        except (BackupError, Killed):
            # Whether it committed before it broke: the point shows what was captured now.
            for point in self.bench.open().points.all():
                self.expected.setdefault(point.id, dict(self.sources[point.source].files))

    def _backup(self, name: str, store: Store, *, force: bool, kept: Repository | None = None) -> None:
        self.bench.clock.advance(minutes=2)
        repository = kept or self.bench.open(store)
        job = BackupJob(self.sources[name], self.bench.schedule, repository, self.bench.clock)
        result = job.run(None, force=force, progress=QuietProgress())
        assert result.created or result.point.id in self.expected
        assert result.created or not force
        self.expected.setdefault(result.point.id, dict(self.sources[name].files))

    @rule()
    def reopen(self) -> None:
        self.repository = self.bench.open()

    @rule(share=SHARES)
    def verify(self, share: ReadShare) -> None:
        result = self._verify(self.repository, share)
        assert result == {}

    @precondition(lambda self: self.bench.keys("packs/") or self.bench.keys("meta/"))
    @rule(data=st.data(), name=NAMES, remove=st.booleans())
    def damage_a_pack_verify_back_up_and_mend_it(self, data: st.DataObject, name: str, remove: bool) -> None:
        keys = sorted(self.bench.keys("packs/") | self.bench.keys("meta/"))
        path = self.folder / data.draw(st.sampled_from(keys))
        sound = path.read_bytes()
        if remove:
            path.unlink()
        else:
            # Encrypted objects have other sizes in each run of the same example: the choice may not depend on them.
            place = data.draw(st.integers(0, (1 << 32) - 1)) % len(sound)
            self.bench.damage(str(path.relative_to(self.folder)), place)
        broken = {point.id for point in self.bench.open().points.all() if not self._reads(point.id)}
        assert broken <= self._verify(self.bench.open(), ReadShare()).keys()
        # A broken backup left it, and no point needs it yet: `verify --due` reads it, with all that is stored.
        read_packs(self.bench.open(), [PackKey(str(path.relative_to(self.folder)))], QuietProgress())
        self._backup(name, self.bench.store, force=True)
        newest = self.bench.open().points.all(name)[-1]
        assert self._reads(newest.id), "a backup after a verify needs nothing that is damaged"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(sound)
        self._verify(self.bench.open(), ReadShare())  # takes the mark away

    @precondition(lambda self: self.bench.keys("indexes/"))
    @rule(data=st.data(), remove=st.booleans())
    def ruin_an_index(self, data: st.DataObject, remove: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.bench.keys("indexes/"))))
        if remove:
            (self.folder / key).unlink()
        else:
            self.bench.damage(key)
        self.backup("docs", True, 5)  # whoever comes next indexes again

    @invariant()
    def every_point_reads_as_it_was_captured(self) -> None:
        repository = self.bench.open()
        points = repository.points.all()
        assert {point.id for point in points} == self.expected.keys()
        for point in points:
            assert content_of(repository, point) == self.expected[point.id]

    def _verify(self, repository: Repository, share: ReadShare) -> dict[str, list[str]]:
        points = repository.points.all()
        return verify(repository, points, share, self.bench.clock, QuietProgress()).findings

    def _reads(self, identity: str) -> bool:
        """Never anything else than what was captured: damage is an error."""
        repository = self.bench.open()
        (point,) = (p for p in repository.points.all() if p.id == identity)
        try:
            content = content_of(repository, point)
        except DamageError:
            return False
        assert content == self.expected[identity]
        return True


class EncryptedRepositoryMachine(RepositoryMachine):
    encrypted = True


class LongRepositoryMachine(RepositoryMachine):
    """The same for hours (`make soak`)."""


TestRepository = RepositoryMachine.TestCase
TestRepository.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEncryptedRepository = EncryptedRepositoryMachine.TestCase
TestEncryptedRepository.settings = settings(TestRepository.settings, max_examples=10)
TestRepositoryForLong = pytest.mark.soak(LongRepositoryMachine.TestCase)
TestRepositoryForLong.settings = settings(
    max_examples=500, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
