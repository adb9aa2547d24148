"""The console script. Answers `--version` before anything heavy is imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TextIO

from backup_platform import __version__
from backup_platform.cli.display.stderr_guard import guard_stderr


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's); its exit code: docs/command-line.md."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    if arguments[:1] == ["--version"]:
        return _tell_version()
    _catch_termination()
    # Imports make many objects and no garbage: looking for it takes a sixth of the start-up. `Session.app` ends this,
    # and so does the end of a verb: the process that called it may live on.
    gc.disable()
    # Looking for pydantic's plugins reads the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Arrow's own allocator keeps what it once had: 60 MB more at the peak of a backup of 55,000 files.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        from backup_platform.cli.program import run

        return run(arguments)
    finally:
        gc.enable()


def _tell_version() -> int:
    try:
        sys.stdout.write(f"backup-platform {__version__}\n")
        sys.stdout.flush()
    except OSError:
        os._exit(1)  # the interpreter would try again, and tell of itself
    return 0


def _prepare_streams() -> None:
    """Text that the locale's encoding cannot hold is escaped, instead of failing the verb.

    A stream that is closed (`>&-`) becomes one that cannot be written: else the next file that is opened takes its
    place, one of the repository for example, and the programs that are started write into it.
    """
    if sys.stdin is None:
        sys.stdin = _in_place_of(0, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = _in_place_of(1, os.O_RDONLY)
    if sys.stderr is None:
        sys.stderr = _in_place_of(2, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    guard_stderr()


def _in_place_of(descriptor: int, mode: int) -> TextIO:
    nowhere = os.open(os.devnull, mode)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
    os.set_inheritable(descriptor, True)
    return open(descriptor, "r" if descriptor == 0 else "w", encoding="utf-8", closefd=False)


def _catch_termination() -> None:
    """SIGTERM ends a verb as Ctrl-C does: cleanly, with exit code 130."""
    import signal
    import threading

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
