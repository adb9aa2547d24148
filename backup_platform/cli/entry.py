"""The console script. Answers `--version` before anything heavy is imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from types import FrameType

from backup_platform import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's); its exit code: docs/command-line.md."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"backup-platform {__version__}\n")
        return 0
    _prepare_streams()
    _catch_termination()
    # Imports make many objects and no garbage: looking for it takes a sixth of the start-up. `Session.app` ends this.
    gc.disable()
    # Looking for pydantic's plugins reads the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Arrow's own allocator keeps what it once had: 60 MB more at the peak of a backup of 55,000 files.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from backup_platform.cli.program import run

    return run(arguments)


def _prepare_streams() -> None:
    """Text that the locale's encoding cannot hold is escaped, instead of failing the verb."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


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
