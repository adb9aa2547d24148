"""pg_restore on the stored archive: its list, a section into the target, and the statements of single entries.

pg_restore continues after an error. Every error is read from its standard error.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backup_platform.errors import TargetError
from backup_platform.sources import children
from backup_platform.sources.postgres.connect.connections import tool_environment, writer_conninfo
from backup_platform.sources.postgres.target_failures import target_errors
from backup_platform.sources.postgres.tools import Tools, run_tool

_ENTRY = re.compile(r"^-- TOC entry (\d+) \(class \d+ OID \d+\)$", re.MULTILINE)
_ERROR = re.compile(r"^pg_restore: error: (?:could not execute query: )?(.*)$")
_CREATING = re.compile(r'^pg_restore: creating [A-Z ]+ "(.*)"$')
_UNGRANTED = re.compile(r"^pg_restore: WARNING: +((?:no|not all) privileges .*)$")
_COMMAND = "Command was: "
_FAILED = re.compile(r"from TOC entry (\d+); ")  # with --verbose; not torn by what other processes write
_THERE = re.compile(r"already exists|multiple primary keys|already member of")
LOST = ("server closed the connection", "no connection to the server", "terminating connection")
_TOKEN = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<aside>--[^\n]*|^\\[^\n]*)|(?P<end>;)|(?P<plain>[^;'"\-\\]+|.)""",
    re.MULTILINE | re.DOTALL,
)
_OWNER = re.compile(r"ALTER .* OWNER TO [^;]*;?\s*$", re.DOTALL)
_GRACE_S = 10.0
_REPEATED = 900
# pg_restore 17 and newer set it at the start of every session; older servers do not know it, and need not.
_UNKNOWN_SETTING = "SET transaction_timeout = 0"


@dataclass(frozen=True, slots=True)
class ToolError:
    """What the server said of one statement. `entry` is the id of its TOC entry, 0 outside of any. The statement itself
    may hold a secret: it is never repeated."""

    text: str
    command: str
    entry: int = 0

    @property
    def said(self) -> str:
        """The server's words alone."""
        return self.text.removeprefix("ERROR:").strip()


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """`ungranted` are grants that the server did not carry out and only warned of: what about, and its words. `failed`
    are the entries in which an error was, with --verbose."""

    errors: tuple[ToolError, ...] = ()
    failed: frozenset[int] = frozenset()
    ungranted: tuple[tuple[str, str], ...] = ()


def parse_ungranted(said: str) -> list[tuple[str, str]]:
    """In what pg_restore wrote with --verbose."""
    found, about = [], ""
    for line in said.splitlines():
        if match := _CREATING.match(line):
            about = match[1]
        elif match := _UNGRANTED.match(line):
            found.append((about, match[1]))
    return found


def parse_errors(said: str) -> list[ToolError]:
    """The errors in what pg_restore wrote to its standard error."""
    found: list[ToolError] = []
    for block in re.split(r"^(?=pg_restore: )", said, flags=re.MULTILINE):
        if match := _ERROR.match(block.split("\n", 1)[0]):
            _, _, command = block.partition("\n" + _COMMAND)
            found.append(ToolError(match[1].strip(), command.strip()))
    return [error for error in found if not error.command.startswith(_UNKNOWN_SETTING)]


def _located(errors: Sequence[ToolError], scripts: dict[int, str]) -> list[ToolError]:
    """pg_restore does not say which entry a statement is of. Of long statements it repeats the beginning only."""
    return [
        replace(error, entry=next((n for n, text in scripts.items() if error.command[:_REPEATED] in text), 0))
        if error.command
        else error
        for error in errors
    ]


def _lost(errors: Iterable[ToolError]) -> bool:
    return any(phrase in error.text for error in errors for phrase in LOST)


def without_second_tries(errors: Sequence[ToolError]) -> list[ToolError]:
    """The errors, without those of a second try which only say that the first try created the object."""
    others = {error.entry for error in errors if not _THERE.search(error.text)}
    return [error for error in errors if error.entry not in others or not _THERE.search(error.text)]


@dataclass(frozen=True, slots=True)
class Archive:
    """`path` is the stored archive as a file, in a directory where more files may be made."""

    tools: Tools
    path: str

    def listing(self) -> str:
        """Raises TargetError if these tools cannot read the archive."""
        with target_errors("the target"), tempfile.TemporaryFile() as output:
            run_tool(self.tools, "pg_restore", ["--list", "--verbose", self.path], stdout=output)
            output.seek(0)
            return output.read().decode("utf-8", "surrogateescape")

    def statements(self, entries: Iterable[int] | None, *options: str) -> str:
        """The SQL of some entries, or of all."""
        with target_errors("the target"), tempfile.TemporaryFile() as output:
            chosen = [] if entries is None else [f"--use-list={self._list(entries)}"]
            arguments = ["--file=-", *chosen, *options, self.path]
            run_tool(self.tools, "pg_restore", arguments, stdout=output)
            output.seek(0)
            return output.read().decode("utf-8", "surrogateescape")

    def scripts(self, entries: Iterable[int] | None) -> dict[int, str]:
        """The SQL of some entries, or of all, by entry."""
        _, *parts = _ENTRY.split(self.statements(entries, "--verbose"))
        return dict(zip(map(int, parts[::2]), parts[1::2], strict=True))

    def restore(
        self,
        url: str,
        database: str,
        section: str,
        *,
        entries: Sequence[int] | None,
        jobs: int,
        options: Sequence[str],
    ) -> ToolOutcome:
        """Run one section, all of it or these entries. The errors of single statements are returned; raises
        TargetError when the tool itself fails."""
        arguments = [f"--section={section}", *options, "--verbose"]
        chosen = [] if entries is None else [f"--use-list={self._list(entries)}"]
        outcome = self._restored([*arguments, f"--jobs={jobs}", *chosen], url, dbname=database)
        if jobs > 1 and outcome.failed and not _lost(outcome.errors):
            outcome = self._again(outcome, arguments, url, database)
        errors = _located(outcome.errors, self.scripts(entries)) if outcome.errors else []
        return replace(outcome, errors=tuple(without_second_tries(errors) if jobs > 1 else errors))

    def _again(self, before: ToolOutcome, arguments: Sequence[str], url: str, database: str) -> ToolOutcome:
        """What several processes report runs into each other. So one process tries what failed once more."""
        chosen = f"--use-list={self._list(sorted(before.failed))}"
        again = self._restored([*arguments, chosen], url, dbname=database)
        if all(error.command for error in again.errors):
            return replace(again, ungranted=before.ungranted)
        return replace(before, errors=before.errors + again.errors)

    def restore_entries(
        self, url: str, database: str, entries: Sequence[int], options: Sequence[str]
    ) -> list[ToolError]:
        """Some entries of all sections, in one process. Returns errors and raises as `restore`."""
        chosen = f"--use-list={self._list(entries)}"
        outcome = self._restored([*options, "--verbose", chosen], url, dbname=database)
        return _located(outcome.errors, self.scripts(entries)) if outcome.errors else []

    def restore_all(self, url: str, options: Sequence[str]) -> list[ToolError]:
        """Run the whole archive as pg_restore does it by itself, into the database that `url` names. Returns the errors
        of single statements and raises as `restore`."""
        return list(self._restored(options, url).errors)

    def _restored(self, arguments: Sequence[str], url: str, **parameters: str) -> ToolOutcome:
        with target_errors("the target"):
            into = f"--dbname={writer_conninfo(url, **parameters)}"
            with tool_environment(url) as environment:
                code, said = _run(self.tools, [*arguments, into, self.path], environment)
        errors, failed = parse_errors(said), frozenset(map(int, _FAILED.findall(said)))
        if code and not errors and not failed and _UNKNOWN_SETTING not in said:
            raise TargetError(f"pg_restore failed with exit code {code}: {_tail(said)}")
        return ToolOutcome(tuple(errors), failed, tuple(parse_ungranted(said)))

    def _list(self, entries: Iterable[int]) -> str:
        descriptor, path = tempfile.mkstemp(dir=os.path.dirname(self.path), suffix=".list")
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.writelines(f"{number};\n" for number in entries)
        return path


def _run(tools: Tools, arguments: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    english = {"LC_MESSAGES": "C", "LANGUAGE": "C"}
    streams: dict[str, Any] = {
        "stdin": children.NOTHING,
        "stdout": children.NOTHING,
        "stderr": children.PIPE,
    }
    command = [tools.path("pg_restore"), *arguments]
    with children.start(command, env=environment | english, **streams) as process:
        try:
            _, said = process.communicate()
        except BaseException:
            _end(process)
            raise
    return process.returncode, said.decode("utf-8", "replace")


def _end(process: children.Child) -> None:
    """SIGTERM, so that pg_restore cancels what its own processes have the server do."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except children.StillRunning:
        process.kill()


def _tail(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith(_COMMAND)]
    return " / ".join(lines[-3:]) or "it said nothing"


def is_of_owner(command: str) -> bool:
    """Does it only give something to a role?"""
    return bool(_OWNER.match(command))


def unquoted(script: str) -> str:
    """A script without what others chose the text of: names, constants, comments."""
    plain = (match[0] for match in _TOKEN.finditer(script) if match.lastgroup in ("plain", "end"))
    return "".join(plain)


def split_statements(script: str) -> list[str]:
    """The statements of a script that pg_restore wrote, of grants, comments and settings: without dollar quotes."""
    found = [""]
    for match in _TOKEN.finditer(script):
        if match.lastgroup == "end":
            found.append("")
        elif match.lastgroup != "aside":
            found[-1] += match[0]
    return [statement.strip() for statement in found if statement.strip()]
