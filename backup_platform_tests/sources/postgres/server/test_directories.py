"""What code of a drilled database puts into the home of its server is not followed by the processes outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from backup_platform.sources.postgres.server.directories import Home, make_home, read_regular, write_anew
from backup_platform.sources.postgres.server.isolation.places import short_socket_of
from backup_platform.sources.postgres.server.isolation.starting import LAYERS
from backup_platform.sources.postgres.server.supervisor import remove_home
from backup_platform_tests.sources.postgres.drill.drill_support import captured
from backup_platform_tests.sources.postgres.server.test_private_server import USERS
from backup_platform_tests.sources.postgres.servers import Server, postgres_15

SECRET = "AGE-SECRET-KEY-1"
_PLANT = """
cd ..
mv socket moved-socket; ln -s {victim} socket
mv log moved-log; ln -s {victim}/identity log
touch planted
kill -9 $PPID $(head -1 data/postmaster.pid)
"""
_ATTACKED = """
import contextlib, json, os, sys
import psycopg, psycopg.sql
from backup_platform.sources.postgres.server.private_server import private_server
bin_dir, base, layers, attack = sys.argv[1:]
with private_server(bin_dir, base=base, layers=tuple(filter(None, layers.split(",")))) as server:
    with contextlib.suppress(psycopg.Error), psycopg.connect(server.url(), autocommit=True) as session:
        session.execute("CREATE TABLE said (line text)")
        session.execute(psycopg.sql.SQL("COPY said FROM PROGRAM {}").format(attack))
    print(json.dumps([server.log_tail(), os.path.lexists(os.path.join(server.home.path, "planted"))]))
"""


@pytest.fixture
def home(open_tmp: Path) -> Iterator[Home]:
    found = make_home(str(open_tmp))
    os.close(found.lock)
    with found.log:
        yield found
    remove_home(found.path)


@pytest.fixture
def victim(open_tmp: Path) -> Path:
    place = open_tmp / "victim"
    place.mkdir()
    (place / "identity").write_text(SECRET)
    return place


@pytest.mark.parametrize("layers", [LAYERS, ()], ids=["in every isolation", "in none"])
def test_links_that_a_drill_plants_are_not_followed(
    open_tmp: Path, victim: Path, layers: Sequence[str]
) -> None:
    """As the same user, who may do with the home what this package may."""
    user, owner = (USERS["as nobody"], 65534) if os.geteuid() == 0 else ((), os.geteuid())
    for path in (victim, victim / "identity"):
        os.chown(path, owner, -1)
    open_tmp.chmod(0o777)
    attack = _PLANT.format(victim=victim)
    command = [*user, sys.executable, "-c", _ATTACKED, postgres_15(), str(open_tmp), ",".join(layers), attack]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, timeout=60, cwd=Path(__file__).parents[4]
    )
    tail, planted = json.loads(done.stdout)
    assert SECRET not in tail
    assert (victim / "identity").read_text() == SECRET
    assert planted == (not layers), "what is isolated cannot write beside its own files"
    assert list(open_tmp.iterdir()) == [victim]


def test_a_link_in_the_place_of_the_socket_is_not_followed(home: Home, victim: Path) -> None:
    if os.path.isdir(f"{home.path}/socket"):
        os.rename(f"{home.path}/socket", f"{home.path}/moved")
    os.symlink(victim, f"{home.path}/socket")
    remove_home(home.path)
    assert (victim / "identity").exists()
    assert not os.path.lexists(home.path)


def test_a_link_in_the_place_of_the_short_directory_is_not_followed(home: Home, victim: Path) -> None:
    short = Path(short_socket_of(home.path))
    if short.is_dir():
        short.rmdir()
    short.symlink_to(victim)
    try:
        remove_home(home.path)
    finally:
        short.unlink()
    assert (victim / "identity").exists()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_the_log_is_the_file_that_was_opened_first(
    home: Home, victim: Path, link: Callable[[object, str], None]
) -> None:
    with home.log:
        Path(home.path, "log").write_text("what the server said")
        os.rename(f"{home.path}/log", f"{home.path}/moved")
        link(victim / "identity", f"{home.path}/log")
        assert home.log_tail(9) == "rver said"
    assert home.log_tail(9) == "", "closed"


def test_what_is_no_plain_file_is_not_read_and_not_written_to(open_tmp: Path, victim: Path) -> None:
    (open_tmp / "link").symlink_to(victim / "identity")
    os.link(victim / "identity", open_tmp / "hard")
    os.mkfifo(open_tmp / "pipe")
    with pytest.raises(OSError, match="symbolic links"):
        read_regular(str(open_tmp / "link"), 100)
    assert read_regular(str(open_tmp / "hard"), 100) == read_regular(str(open_tmp / "pipe"), 100) == ""
    for name in ("link", "hard", "pipe"):
        write_anew(str(open_tmp / name), "new")
        assert read_regular(str(open_tmp / name), 2) == "ne"
    assert (victim / "identity").read_text() == SECRET


def test_a_backup_removes_homes_that_nobody_guards(
    server15: Server, open_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there was a drill once, and there are backups only now."""
    monkeypatch.setattr(tempfile, "tempdir", str(open_tmp))
    left, guarded = make_home(str(open_tmp)), make_home(str(open_tmp))
    os.close(left.lock)
    with left.log, guarded.log, server15.database() as url:
        for home in (left, guarded):
            os.utime(home.path, (1, 1))
        captured(url, open_tmp)
        assert not os.path.lexists(left.path)
        assert os.path.isdir(guarded.path)
        os.close(guarded.lock)
