"""PostgreSQL's own regression database: its source from Debian, its tests run by its own pg_regress.

Everything comes by apt-get and stays in one directory. The suites are those that may have the source of some major
version; lists and downloads are kept apart from the machine's own.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup_platform_tests.sources.postgres.servers import Server, execute

_SUITES = (
    "debian bookworm",
    "debian-security bookworm-security",
    "debian trixie",
    "debian-security trixie-security",
    "debian forky",
    "debian sid",
)
_MODULES = ("src/test/regress/regress.c", "contrib/spi/refint.c", "contrib/spi/autoinc.c")
# What pg_regress sets on the databases that it makes itself.
_SETTINGS = ("lc_messages", "lc_monetary", "lc_numeric", "lc_time")
DATABASE = "regression"


@dataclass(frozen=True)
class Suite:
    """The tests of one major version below `place`, which every user may enter."""

    server: Server
    place: Path

    def run(self) -> str:
        """URL of the database that the tests leave behind. Some tests fail with other settings than pg_regress's own:
        what counts is what they leave."""
        source, libraries, output = self._source(), self.place / "lib", self.place / "out"
        libraries.mkdir()
        output.mkdir()
        output.chmod(0o777)
        for module in _MODULES:
            self._compile(source / module, libraries)
        subprocess.run(["chmod", "-R", "a+rX", self.place], check=True)
        execute(self.server.url(), f"CREATE DATABASE {DATABASE} TEMPLATE template0")
        execute(self.server.url(), *(f"ALTER DATABASE {DATABASE} SET {name} TO 'C'" for name in _SETTINGS))
        code, said = self._regress(source / "src/test/regress", libraries, output)
        assert code in (0, 1), said[-3000:]
        return self.server.url(DATABASE)

    def _regress(self, tests: Path, libraries: Path, output: Path) -> tuple[int, str]:
        command = [
            self._beside("lib/pgxs/src/test/regress/pg_regress"),
            f"--inputdir={tests}",
            f"--outputdir={output}",
            f"--dlpath={libraries}",
            f"--bindir={self.server.bin_dir}",
            "--use-existing",
            f"--host={self.server.socket_dir}",
            f"--port={self.server.port}",
            "--user=postgres",
            f"--schedule={tests / 'parallel_schedule'}",
            "--max-connections=6",
        ]
        done = subprocess.run(command, cwd=output, capture_output=True, text=True, env=_environment())
        return done.returncode, done.stdout + done.stderr

    def _beside(self, path: str) -> str:
        return os.path.join(os.path.dirname(self.server.bin_dir), path)

    def _compile(self, source: Path, into: Path) -> None:
        headers = self._headers()
        target = into / f"{source.stem}.so"
        _run(
            "gcc",
            "-O1",
            "-fPIC",
            "-shared",
            *(f"-I{path}" for path in headers),
            "-o",
            str(target),
            str(source),
        )

    def _headers(self) -> list[str]:
        """Of the server and of libpq: beside the wheel's programs, else of Debian's packages for developers."""
        if os.path.exists(self._beside("include/server/postgres.h")):
            return [self._beside("include/server"), self._beside("include")]
        packages, root = self.place / "packages", self.place / "packages" / "root"
        if not packages.exists():
            packages.mkdir()
            _run(
                "apt-get", "download", f"postgresql-server-dev-{self.server.major}", "libpq-dev", cwd=packages
            )
            for package in packages.glob("*.deb"):
                _run("dpkg-deb", "-x", str(package), str(root))
        include = root / "usr/include/postgresql"
        return [str(include / str(self.server.major) / "server"), str(include)]

    def _source(self) -> Path:
        """The newest source that can be fetched: the mirrors do not keep every security update's."""
        for folder in ("apt/lists/partial", "apt/cache/archives/partial", "source"):
            (self.place / folder).mkdir(parents=True)
        lists = self.place / "apt/sources.list"
        lines = (f"deb-src http://deb.debian.org/{suite} main\n" for suite in _SUITES)
        lists.write_text("".join(lines))
        self._apt("apt-get", "update")
        package = f"postgresql-{self.server.major}"
        said = self._apt("apt-cache", "showsrc", package).splitlines()
        versions = [line.removeprefix("Version: ") for line in said if line.startswith("Version: ")]
        for version in reversed(dict.fromkeys(versions)):
            try:
                self._apt("apt-get", "--download-only", "source", f"{package}={version}")
            except AssertionError:
                continue
            return self._unpacked()
        pytest.fail(f"Debian has no source of {package} that can be fetched: {versions}.")

    def _unpacked(self) -> Path:
        (archive,) = (self.place / "source").glob("*.orig.tar.*")
        wanted = ["*/src/test/regress/*", "*/contrib/spi/*"]
        _run("tar", "-xf", str(archive), "--wildcards", *wanted, cwd=archive.parent)
        (folder,) = (path for path in archive.parent.iterdir() if path.is_dir())
        return folder

    def _apt(self, program: str, *arguments: str) -> str:
        options = {
            "Dir::Etc::SourceList": f"{self.place}/apt/sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": f"{self.place}/apt/lists",
            "Dir::Cache": f"{self.place}/apt/cache",
        }
        chosen = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return _run(program, *chosen, *arguments, cwd=self.place / "source")


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]} failed: {(done.stderr or done.stdout)[-2000:]}"
    return done.stdout


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
