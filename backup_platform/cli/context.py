"""What one call of the command line shares: its options, its output, and the wired application."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backup_platform.advice import Command, Hint, typed, written
from backup_platform.cli.display.output import Output, error_object
from backup_platform.domain.model import Json
from backup_platform.domain.visible import visible
from backup_platform.errors import BackupError

if TYPE_CHECKING:
    from backup_platform.domain.ports import Progress
    from backup_platform.domain.trust.latest import Skipped
    from backup_platform.services.protocols import Services


def _load(plan: str | None) -> Services:
    from backup_platform.app import App

    return App.load(plan)


NOTES = 3  # of points that `latest` passes over; `--json` has all

app_factory: Callable[[str | None], Services] = _load  # tests put theirs here


class CliSession:
    """Options that every verb has. `resume` is the advice if the verb is interrupted."""

    def __init__(self) -> None:
        self.plan: str | None = None
        self.repository: str | None = None
        self.json = False
        self.debug = False
        self.resume = ""
        self.listing = True  # nothing but output is wanted, as of help; a verb may say otherwise
        self._app: Services | None = None
        self._out: Output | None = None
        self._skipped: list[Json] = []
        self._unknown: list[Json] = []

    @property
    def app(self) -> Services:
        """The services of the plan, bound to the repository that was named. Raises `PlanError`, `NotFoundError`."""
        if self._app is None:
            self._app = app_factory(self.plan)
            if self.repository is not None:
                self._app = self._app.at(self.repository)
            self._app.listen(self._tell_skipped, self._tell_doubt)
            gc.enable()
        return self._app

    @property
    def copies(self) -> list[str]:
        """Repositories of the plan that hold copies of the one that is used; none before the plan was read."""
        if self._app is None or self.repository is not None:
            return []
        return list(self._app.plan.repositories)[1:]

    @property
    def out(self) -> Output:
        if self._out is None or self._out.json != self.json:
            notes = {"skipped": self._skipped, "unknown_repository": self._unknown}
            self._out = Output(sys.stdout, json=self.json, shape=self.error_object, notes=notes)
        self._out.needed = self.listing
        return self._out

    def _tell_skipped(self, skipped: Skipped) -> None:
        """Report a point that `latest` skipped: once on standard error, or with `--json` in the document."""
        point, text = skipped.point, str(skipped)
        told: Json = {
            "point": point.id,
            "source": point.source,
            "window": point.window.key,
            "why": skipped.why,
        }
        if told in self._skipped:
            return
        self._skipped.append(told)
        if not self.json and len(self._skipped) <= NOTES:
            self._note(text)
        elif not self.json and len(self._skipped) == NOTES + 1:
            listing = self.command("points", point.source)
            self._note(f"further points of {point.source} were skipped: {listing}")

    def _note(self, text: str) -> None:
        sys.stderr.write(f"note: {visible(text)}\n")

    def _tell_doubt(self, text: str) -> None:
        """Report that nothing vouches for the repository: once on standard error, or with `--json` in the
        document."""
        if text not in self._unknown:
            self._unknown.append(text)
            if not self.json:
                sys.stderr.write(f"warning: {text}.\n")

    def command(self, *words: str) -> str:
        """A command that can be pasted into a shell and uses the same plan and repository."""
        return self.command_in(self.repository, *words)

    def command_in(self, repository: str | None, *words: str) -> str:
        """The same for another repository; None: the first of the plan."""
        return typed(Command(words).arguments(self.plan, repository))

    def written(self, hint: Hint, about: str = "") -> str:
        """Advice as text, with commands that can be pasted: they use the same plan, and the repository that it is
        `about`; that in use where it is not said."""
        return written(hint, self.plan, self.option_for(about))

    def option_for(self, about: str) -> str | None:
        """The repository that a command has to name to be about that one, "" for the one in use; None: the first of
        the plan, which needs no name."""
        if not about:
            return self.repository
        first = next(iter(self._app.plan.repositories), None) if self._app else None
        return None if about == first else about

    def error_object(self, error: BackupError) -> dict[str, Json]:
        """The documented shape of an error."""
        return error_object(error, self.plan, self.option_for(error.repository))

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Shown on standard error while the block runs: a bar on a terminal, else a line now and then."""
        from backup_platform.cli.display.progress import reporting

        with reporting(title, sys.stderr, quiet=self.json) as progress:
            yield progress


def session_of(ctx: Any) -> CliSession:
    """The session of a typer context."""
    session = ctx.find_object(CliSession)
    assert isinstance(session, CliSession)
    return session
