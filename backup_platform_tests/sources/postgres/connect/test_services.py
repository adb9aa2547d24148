"""Services of a pg_service.conf, for the drivers and the programs alike."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.connect.connections import (
    connect,
    describe,
    parse,
    tool_conninfo,
    tool_environment,
)
from backup_platform.sources.postgres.restore.target import TargetDatabase
from backup_platform_tests.sources.postgres.capture_support import capture
from backup_platform_tests.sources.postgres.servers import Server, execute

FILE = """\
# of the machine
[other]
host=elsewhere

[shop]
host = db.example
# port=1
port=6543
dbname=orders
password=s3=cret
port=7777
[shop]
dbname=never
"""


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "services"
    path.write_text(FILE)
    monkeypatch.setenv("PGSERVICEFILE", str(path))
    return path


@pytest.mark.parametrize("url", ["service=shop", "postgresql:///?service=shop"])
def test_a_service_is_its_parameters(services: Path, url: str) -> None:
    assert parse(url) == {"host": "db.example", "port": "6543", "dbname": "orders", "password": "s3=cret"}
    assert describe(url) == "PostgreSQL database 'orders' at db.example:6543"
    assert "s3" not in tool_conninfo(url)
    with tool_environment(url) as environment:
        assert Path(environment["PGPASSFILE"]).read_text() == "*:*:*:*:s3=cret\n"
    assert TargetDatabase.of(url, "captured").name == "orders"


def test_what_the_url_says_itself_comes_first(services: Path) -> None:
    assert parse("postgresql://h/d?service=shop")["dbname"] == "d"
    assert parse("service=shop port=1")["port"] == "1"


def test_the_file_of_the_machine_is_looked_at_last(
    services: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pg_service.conf").write_text("[machine]\ndbname=m\n[shop]\ndbname=never\n")
    monkeypatch.setenv("PGSYSCONFDIR", str(tmp_path))
    assert parse("service=machine") == {"dbname": "m"}
    assert parse("service=shop")["dbname"] == "orders"


def test_an_unknown_service_is_named(services: Path) -> None:
    with pytest.raises(SourceError, match="nowhere") as caught:
        connect("service=nowhere")
    assert "PGSERVICEFILE" in caught.value.hint


def test_a_capture_of_a_service(server18: Server, database18: str, services: Path) -> None:
    execute(database18, "CREATE TABLE t AS SELECT 1 AS x")
    parts = urlsplit(database18)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    services.write_text(
        f"[shop]\nuser=postgres\ndbname={parts.path[1:]}\nhost={asked['host']}\nport={asked['port']}\n"
    )
    assert capture("service=shop", bin_dir=server18.bin_dir).facts["rows"] == 1
