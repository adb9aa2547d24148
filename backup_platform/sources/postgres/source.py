"""A PostgreSQL database as a source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from backup_platform.domain.model import Capture, RecoveryPoint
from backup_platform.domain.ports import Clock, DrillReport, PointReader, Progress, Recorder, Sandbox
from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseRestoreSummary, DatabaseTarget
from backup_platform.sources.postgres.options import PostgresOptions


@dataclass(frozen=True)
class PostgresSource:
    """One database of a server of version 13 or newer, primary or standby; a `ports.DatabaseSource`.

    Every table is stored with its rows, except what the plan excludes: that keeps its definition, because the schema
    is dumped whole, and is listed in the recovery point. Restoring what refers to rows that were left out is the
    reader's business: a foreign key to an excluded table does not hold.

    What each module needs of drivers and tools is imported when it is used.
    """

    name: str
    options: PostgresOptions
    clock: Clock = field(repr=False)

    @property
    def kind(self) -> str:
        return "postgres"

    def probe(self) -> str:
        """The server that answers, and the tools that fit it. Raises `SourceError`."""
        from backup_platform.sources.postgres.connect.connections import connect, describe
        from backup_platform.sources.postgres.tools import find_tools, release

        with connect(self.options.url) as connection:
            version = connection.info.server_version
        major = version // 10_000
        tools = find_tools(major, prefer=major, bin_dir=self.options.bin_dir)
        used = f"tools of version {release(tools.version)} in {tools.bin_dir}"
        return f"{describe(self.options.url)}, version {release(version)}; {used}"

    def capture(self, recorder: Recorder, progress: Progress) -> Capture:
        """Raises `SourceMissingError`, `SourceBusyError`, `SourceFormatError`, or another `SourceError`.

        What drills left that were killed is removed: after the last one of them there may be backups only.
        """
        from backup_platform.sources.postgres.capture.run import capture
        from backup_platform.sources.postgres.server.directories import remove_stale_everywhere

        remove_stale_everywhere()
        return capture(self.options, self.clock, recorder, progress)

    def drill(
        self, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
    ) -> DrillReport:
        """Restore into a server that is thrown away, and compare streams, schema and facts."""
        from backup_platform.sources.postgres.drill.run import drill

        return drill(self.options, point, reader, sandbox, self.clock, progress)

    def plan_restore(
        self, point: RecoveryPoint, reader: PointReader, target: DatabaseTarget
    ) -> DatabaseRestorePlan:
        """What a restore will do; writes nothing. Raises `TargetError`, `NotFoundError`."""
        from backup_platform.sources.postgres.restore.run import plan_restore

        options = self.options
        wanted = replace(
            target,
            owner=options.restore_owner if target.owner is None else target.owner,
            privileges=options.restore_privileges if target.privileges is None else target.privileges,
        )
        return plan_restore(point, reader, wanted, bin_dir=options.bin_dir)

    def run_restore(
        self, plan: DatabaseRestorePlan, reader: PointReader, progress: Progress
    ) -> DatabaseRestoreSummary:
        """Carry out a plan. Raises `TargetError`; an error says what was done and how to go on."""
        from backup_platform.sources.postgres.restore.run import run_restore

        progress.begin("", "table")
        return run_restore(plan, reader, progress, self.clock, bin_dir=self.options.bin_dir)
