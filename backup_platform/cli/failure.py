"""An error becomes a message on standard error, a JSON object with `--json`, and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, TextIO

from backup_platform.advice import command
from backup_platform.cli.context import CliSession
from backup_platform.cli.display.output import Output, OutputClosedError, colours
from backup_platform.cli.display.stderr_guard import bare
from backup_platform.domain.visible import visible_lines
from backup_platform.errors import (
    BackupError,
    DamageError,
    RepositoryChangedError,
    RepositoryMissingError,
    StoreError,
)
from backup_platform.extras import not_installed

INTERRUPTED = 130
READER_GONE = 141


class InterruptError(BackupError):
    code: ClassVar[str] = "interrupted"
    exit_code: ClassVar[int] = INTERRUPTED


class UnexpectedError(BackupError):
    """A defect of this program, or a failure that it does not know."""

    code: ClassVar[str] = "unexpected"


class OutputError(BackupError):
    """The output could not be written."""

    code: ClassVar[str] = "output-failed"


def guarded(session: CliSession, call: Callable[[], int]) -> int:
    """Run the call; every failure becomes a message and an exit code. Lets typer's own pass."""
    try:
        code = call()
        session.out.flush()
        if session.out.failure is not None:
            return _output_failed(session, session.out.failure, code)
    except BackupError as error:
        _mention_copies(session, error)
        return fail(session, error)
    except KeyboardInterrupt:
        return fail(session, InterruptError("interrupted", hint=session.resume))
    except OutputClosedError as error:
        return _output_failed(session, error, 0)
    except Exception as error:
        if _is_typers(error):
            raise
        return fail(session, unexpected(session, error))
    return code


def _mention_copies(session: CliSession, error: BackupError) -> None:
    """Mention the copies if a repository cannot be reached: the user may not remember them at night."""
    with_copy = RepositoryMissingError | RepositoryChangedError | DamageError | StoreError
    if isinstance(error, with_copy) and (names := session.copies):
        if session.option_for(error.repository) is not None:
            return  # it is a copy that is away
        error.advise(f"Copies are in {', '.join(names)}: add `--repository {names[0]}`.")
        if isinstance(error, RepositoryMissingError):
            error.advise((command("init", "--from", names[0]), " makes it again from one."))


def fail(session: CliSession, error: BackupError) -> int:
    """Report the error, also as the JSON document unless one was begun already; its exit code."""
    report(session, error)
    out = session.out
    if not out.written:
        out.document({"error": session.error_object(error)})
    with suppress(OutputClosedError):
        out.flush()
    if out.failure is not None:
        _silence(out)
    return error.exit_code


def report(session: CliSession, error: BackupError, *, about: str = "") -> None:
    """`error [code]: message` and `hint: …` on standard error; `about` names one of several things tried."""
    with suppress(OSError):  # where even this cannot be written, the exit code tells
        _report(sys.stderr, error, session.written(error.advice, error.repository), about)


def _report(stream: TextIO, error: BackupError, hint: str, about: str) -> None:
    label, end = ("\x1b[1;31m", "\x1b[0m") if colours(stream) else ("", "")
    subject = f"{about}: " if about else ""
    bare(stream).write(f"{label}error [{error.code}]:{end} {visible_lines(subject + error.message)}\n")
    if hint:
        stream.write(f"hint: {visible_lines(hint)}\n")
    stream.flush()


def unexpected(session: CliSession, error: Exception) -> BackupError:
    """The error as one of ours; prints the traceback when `--debug` was given."""
    if missing := not_installed(error):
        return missing
    if session.debug:
        import traceback

        traceback.print_exception(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = "" if session.debug else "This is a defect in backup-platform; --debug shows where it happened."
    return UnexpectedError(text, hint=hint)


def _is_typers(error: Exception) -> bool:
    import typer

    return isinstance(error, typer.TyperException | typer.Exit | typer.Abort)


def _output_failed(session: CliSession, failure: OSError, code: int) -> int:
    """The exit code after a failed output. If the reader of a listing has gone, nothing more is wanted. Otherwise
    it is an error."""
    _silence(session.out)
    gone = failure.errno == errno.EPIPE
    if not (gone and session.listing):
        done = "" if session.listing else f" The work itself was finished, with exit code {code}."
        text = f"Standard output cannot be written: {failure.strerror}.{done}"
        report(session, OutputError(text, hint=_output_hint(gone)))
    return code or (READER_GONE if gone else OutputError.exit_code)


def _output_hint(gone: bool) -> str:
    return "" if gone else "Free space on the disk of the output, or write it elsewhere."


def _silence(out: Output) -> None:
    """Redirect standard output to nothing, so that the interpreter's last flush does not fail."""
    out.failure = None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
