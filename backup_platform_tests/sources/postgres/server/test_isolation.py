"""Programs that a private server starts reach nothing of the machine, in every isolation that the machine offers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from backup_platform.clock import SystemClock
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.errors import DrillExposedError
from backup_platform.sources.postgres.document import CapturedDatabase, Locale
from backup_platform.sources.postgres.drill.scratch import Scratch, scratch
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.server.isolation import kernel
from backup_platform.sources.postgres.server.isolation.openings import left_open, require_shut, told
from backup_platform.sources.postgres.server.isolation.starting import (
    LANDLOCK,
    LAYERS,
    NAMESPACES,
    SECCOMP,
    USER,
    choices,
)
from backup_platform.sources.postgres.server.private_server import private_server
from backup_platform_tests.docs.cells import shows
from backup_platform_tests.sources.postgres.server.test_private_server import USERS
from backup_platform_tests.sources.postgres.servers import installed

PLACES = Path(__file__).parents[4]
# Each line of what the program says names something that it got at.
_ATTACK = r"""
exec 2>/dev/null
grep -q AGE-SECRET-KEY "$IDENTITY" && echo identity
ls "$STATE" | grep -q . && echo state
echo x >> "$STATE/kept" && echo writes
echo x > "$OUTSIDE/new" && echo creates
cat /proc/*/environ | tr '\0' '\n' | grep -q PLAN_SECRET && echo environment
grep -q PLAN_SECRET "/proc/$PARENT/environ" && echo parent
bash -c 'exec 3<>/dev/tcp/127.0.0.1/'"$PORT" && echo tcp
python3 -I -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$SOCKET" && echo socket
python3 -I -c '
from socket import *; import sys
socket(AF_INET, SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int(sys.argv[1])))' "$PORT" && echo udp
kill -0 "$PARENT" && echo signal
env | grep -q PLAN_SECRET && echo inherited
echo x > ./own && echo own
exit 0
"""
_FILES = {"identity", "state", "writes", "creates", "environment", "parent"}
_NETWORK = {"tcp", "socket", "udp"}
_ALONE = r"""
import os, sys
from backup_platform.sources.postgres.server.isolation.starting import Confinement, start
home, uid, gid, layers, *command = sys.argv[1:]
given = {name: os.environ.get(name, "") for name in ("IDENTITY", "STATE", "OUTSIDE", "PARENT", "PORT", "SOCKET")}
given["PATH"] = "/usr/bin:/bin"
confinement = Confinement(home, int(uid), int(gid), tuple(filter(None, layers.split(","))), given)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(start(command, confinement, home + "/log"), 0)[1]))
"""


@dataclass
class Victim:
    """What belongs to the user who drills, and to nobody else."""

    place: Path
    home: Path
    environment: dict[str, str]
    user: str

    def attacked(self, layers: Sequence[str]) -> set[str]:
        """What a program got at that runs in these layers."""
        uid, gid = ("65534", "60999") if self.user == "as itself" and os.geteuid() == 0 else ("-1", "-1")
        (self.home / "log").unlink(missing_ok=True)
        command = [
            *USERS[self.user],
            sys.executable,
            "-c",
            _ALONE,
            str(self.home),
            uid,
            gid,
            ",".join(layers),
        ]
        done = subprocess.run(
            [*command, "/bin/sh", "-c", _ATTACK], env=self.environment, check=True, cwd=PLACES, timeout=60
        )
        assert done.returncode == 0
        said = (self.home / "log").read_text().split("\n")
        return {line for line in said if line}


@pytest.fixture(params=USERS)
def victim(request: pytest.FixtureRequest, open_tmp: Path) -> Iterator[Victim]:
    open_tmp.chmod(0o755)
    owner = 65534 if USERS[request.param] else os.geteuid()
    for name in ("home", "home/data", "state", "outside"):
        (open_tmp / name).mkdir(mode=0o700)
    (open_tmp / "identity").write_text("AGE-SECRET-KEY-1")
    (open_tmp / "identity").chmod(0o600)
    (open_tmp / "state" / "kept").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(open_tmp / "socket"))
        local.listen()
        (open_tmp / "socket").chmod(0o777)
        for path in (*open_tmp.iterdir(), open_tmp / "state" / "kept", open_tmp / "home" / "data"):
            os.chown(path, owner, -1)
        if not USERS[request.param] and os.geteuid() == 0:
            os.chown(open_tmp / "home", 65534, 60999)
            os.chown(open_tmp / "home" / "data", 65534, 60999)
        told = {"IDENTITY": "identity", "STATE": "state", "OUTSIDE": "outside", "SOCKET": "socket"}
        environment = {name: str(open_tmp / path) for name, path in told.items()}
        environment |= {"PARENT": str(os.getpid()), "PORT": str(listener.getsockname()[1])}
        yield Victim(open_tmp, open_tmp / "home", environment | {"PLAN_SECRET": "x"}, request.param)


def test_without_any_isolation_the_attack_gets_at_everything(victim: Victim) -> None:
    """So that what follows shows something. Root's files are safe from another user."""
    found = victim.attacked(())
    assert "own" in found
    assert found >= _NETWORK
    assert "inherited" not in found, "children get an environment of their own"
    if victim.user == "as nobody" or os.geteuid():
        assert found >= {"identity", "state", "writes", "creates"}


@shows("database role", "reads", "adds", "deletes", "forges", "hides")
@pytest.mark.parametrize("layers", [some for some in choices(LAYERS) if some], ids="+".join)
def test_no_isolation_lets_it_out(victim: Victim, layers: tuple[str, ...]) -> None:
    found = victim.attacked(layers)
    assert "own" in found, "its own directory is writable"
    if NAMESPACES in layers:
        assert found == {"own"}
    if LANDLOCK in layers:
        assert not found & (_FILES | {"tcp", "signal"})
    if SECCOMP in layers:
        assert not found & _NETWORK
    if LANDLOCK in layers and SECCOMP in layers:
        assert found == {"own"}


def test_a_server_runs_in_all_of_them_and_its_programs_reach_nothing(open_tmp: Path) -> None:
    """As a superuser of the private server, which no code of a recovery point is."""
    open_tmp.chmod(0o777)
    (open_tmp / "readable").write_text("AGE-SECRET-KEY-1")
    with (
        private_server(installed(), base=str(open_tmp)) as server,
        psycopg.connect(server.url()) as session,
    ):
        assert server.isolation == ((USER, *LAYERS) if os.geteuid() == 0 else LAYERS)
        attack = f"cat {open_tmp}/readable /proc/*/environ; echo end"
        session.execute(f"CREATE TABLE said (line text); COPY said FROM PROGRAM '{attack}'".encode())
        said = session.execute("SELECT line FROM said").fetchall()
    assert said == [("end",)]


def test_layers_that_the_machine_lacks_are_left_out(open_tmp: Path) -> None:
    open_tmp.chmod(0o777)
    with private_server(installed(), base=str(open_tmp), layers=(LANDLOCK, "of another planet")) as server:
        assert set(server.isolation) - {USER} == {LANDLOCK}


def test_capabilities_of_a_service_do_not_pass(open_tmp: Path) -> None:
    """A service may be given the right to read every file."""
    if os.geteuid():
        pytest.fail("only root can give capabilities away")
    open_tmp.chmod(0o777)
    (open_tmp / "data").mkdir()
    command = [*USERS["as nobody"], sys.executable, "-c", _ALONE, str(open_tmp), "-1", "-1", ""]
    subprocess.run([*command, "/bin/grep", "CapEff", "/proc/self/status"], check=True, cwd=PLACES)
    assert int((open_tmp / "log").read_text().split()[1], 16) == 0


def test_a_program_ends_with_the_one_that_started_it(open_tmp: Path) -> None:
    (open_tmp / "data").mkdir()
    command = [sys.executable, "-c", _ALONE, str(open_tmp), "-1", "-1", NAMESPACES, "/bin/sleep", "97531"]
    with subprocess.Popen(command, cwd=PLACES) as process:
        deadline = time.monotonic() + 20
        while not _running("97531"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    while _running("97531"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _running(argument: str) -> bool:
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes()
        except OSError:
            continue
    return b"/bin/sleep\0" + argument.encode() in found


def test_a_kernel_without_it_says_so() -> None:
    with pytest.raises(OSError, match="not implemented"):
        kernel.system_call(9999)


@pytest.mark.parametrize(
    ("layers", "open_"),
    [
        ((USER, NAMESPACES), 0),
        ((LANDLOCK, SECCOMP), 0),
        ((USER, LANDLOCK), 1),
        ((SECCOMP,), 1),
        ((USER,), 2),
        ((), 2),
    ],
)
def test_what_stays_open_is_told_and_refused(layers: tuple[str, ...], open_: int) -> None:
    document = told(layers)
    assert document["isolation"] == (", ".join(layers) or "none")
    assert len(list(left_open(layers))) == open_ == len(document.get("isolation_leaves_open", ()))  # type: ignore[arg-type]
    if not open_:
        require_shut(layers)
        return
    with pytest.raises(DrillExposedError, match="drill_isolation: required") as raised:
        require_shut(layers)
    assert raised.value.code == "drill-not-isolated"
    assert "drill_isolation: available" in raised.value.hint


def test_a_plan_that_demands_isolation_has_no_drill_without(
    monkeypatch: pytest.MonkeyPatch, open_tmp: Path
) -> None:
    document = CapturedDatabase(1, "shop", "shop", 150_000, 150_000, Locale("UTF8", "C", "C"))
    open_tmp.chmod(0o777)
    (open_tmp / "sandbox").mkdir()

    def opened(**options: Any) -> Scratch:
        chosen = PostgresOptions("", isolated=True, bin_dir=installed(), **options)
        with scratch(chosen, document, str(open_tmp / "sandbox"), SystemClock(), TimeLimit()) as found:
            return found

    assert set(opened().isolation) >= {NAMESPACES, LANDLOCK, SECCOMP}
    with pytest.raises(DrillExposedError, match="drill_server"):
        opened(drill_server="postgresql://h/d")
    monkeypatch.setattr("backup_platform.sources.postgres.server.private_server.LAYERS", (SECCOMP,))
    with pytest.raises(DrillExposedError, match="files that its user can read"):
        opened()
