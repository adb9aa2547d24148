"""The drill of a program's output: the restored stream against the facts, and the plan's `check` of it."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Sequence

from backup_platform.domain.model import Json, RecoveryPoint
from backup_platform.domain.ports import DrillReport, Progress, Sandbox
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.sources import children
from backup_platform.sources.command.last_words import LastWords
from backup_platform.sources.command.program import BLOCK, find_program, running

FILE = "{file}"  # in a word of `check`: the path of the restored stream


def drill(
    point: RecoveryPoint, sandbox: Sandbox, progress: Progress, check: Sequence[str], folder: str
) -> DrillReport:
    """A restored file that is not what was captured, or that `check` refuses, is a difference.

    Raises SourceMissingError without the program of `check`, TimeLimitError.
    """
    unpacked = sandbox.unpack()
    names = os.listdir(unpacked)
    path = os.path.join(unpacked, *names[:1])
    if len(names) != 1 or not stat.S_ISREG(os.lstat(path).st_mode):
        return DrillReport({}, ("The recovery point does not hold exactly one file.",))
    size, digest = _read(path, progress, sandbox.limit)
    compared: dict[str, Json] = {"bytes": size, "sha256": digest}
    differences = [
        f"The restored stream has {name} {found}, and {point.facts.get(name)} was captured."
        for name, found in (("bytes", size), ("sha256", digest))
        if point.facts.get(name) != found
    ]
    if check:
        problem = _checked(check, path, sandbox, folder)
        compared |= {"check": "failed" if problem else "passed", "isolation": "none"}
        differences += [problem] if problem else []
    return DrillReport(compared, tuple(differences))


def _read(path: str, progress: Progress, limit: TimeLimit) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    progress.begin("comparing", "stream")
    progress.expect(items=1, size=os.path.getsize(path))
    with open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK):
            limit.check()
            digest.update(block)
            size += len(block)
            progress.advance(size=len(block))
    progress.advance(items=1)
    return size, digest.hexdigest()


def _checked(check: Sequence[str], path: str, sandbox: Sandbox, folder: str) -> str:
    """What the program says against the file at `path`; "" when it takes it. It gets none of this process's secrets,
    and a directory of its own to write to."""
    said = LastWords()
    env = children.environment()
    program = find_program(check[0], env, folder)
    words = [program, *(word.replace(FILE, path) for word in check[1:])]
    with (
        tempfile.TemporaryDirectory(dir=sandbox.path) as own,
        open(path, "rb") as file,
        running(
            words,
            env=env | {"HOME": own, "TMPDIR": own},
            folder=own,
            limit=sandbox.limit,
            said=said,
            stdin=None if any(FILE in word for word in check) else file,
        ) as started,
    ):
        for block in started.output():
            said.add(block)
        ended = started.wait()
    return f"The check {check[0]} {ended}. It said: {said.text() or 'nothing'}" if ended else ""
