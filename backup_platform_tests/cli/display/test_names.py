from __future__ import annotations

import base64
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.cli.display.names import name_fields, printable
from backup_platform.domain.visible import visible


@pytest.mark.parametrize(
    "name", [b"plain.txt", "Größe 漢字".encode(), b"with space", b"back\\slash", b"it's"]
)
def test_a_name_that_prints_is_shown_as_it_is(name: bytes) -> None:
    assert printable(name) == name.decode()


@given(st.binary(min_size=1, max_size=40))
def test_no_name_acts_on_a_terminal(name: bytes) -> None:
    assert printable(name).isprintable()
    assert visible(name.decode("utf-8", "surrogateescape")).isprintable()


def test_an_escaped_name_is_read_back_exactly_by_a_shell() -> None:
    names = [
        b"a\nb",
        b"caf\xe9",
        b"\x1b[2J'\\x",
        b"$'x",
        "\u202eevil\U000e0001".encode(),
        bytes(range(1, 256)),
    ]
    for name in names:
        shown = printable(name)
        assert shown.startswith("$'")
        command = ["bash", "-c", f"printf %s {shown}"]
        echoed = subprocess.run(command, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
        assert echoed.stdout == name


@given(st.binary(max_size=40))
def test_json_holds_every_name_exactly(name: bytes) -> None:
    fields = json.loads(json.dumps(name_fields("path", name)))
    exact = base64.b64decode(fields["path_b64"]) if "path_b64" in fields else fields["path"].encode()
    assert exact == name


def test_only_names_that_are_not_utf8_have_the_second_field() -> None:
    assert name_fields("path", "é\n".encode()) == {"path": "é\n"}
    assert name_fields("path", b"\xe9") == {"path": "\\xe9", "path_b64": "6Q=="}
