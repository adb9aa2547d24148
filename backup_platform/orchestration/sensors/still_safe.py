"""What messages about a source add: what can still be restored, and the next command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.advice import Command, command
from backup_platform.domain.incidents.message import Message
from backup_platform.domain.status.safe import what_is_safe
from backup_platform.orchestration.sensors import presence
from backup_platform.orchestration.sensors.bounded_call import BoundedCall
from backup_platform.orchestration.sensors.outbox import ALL
from backup_platform.orchestration.shown import log_of
from backup_platform.orchestration.translator import BackupTranslator

if TYPE_CHECKING:
    from backup_platform.app import App

ANSWER_WITHIN_S = 5.0  # once in an evaluation, which Dagster ends after 60
UNKNOWN = "Which points are safe cannot be told: the repository cannot be read."
COPIES = "copies"


class StillSafe:
    """Asks the first repository once for all messages of an evaluation, and only if there are any about sources."""

    def __init__(self, translator: BackupTranslator) -> None:
        self._translator = translator
        self._call = BoundedCall()

    def explained(self, context: dg.SensorEvaluationContext, messages: Sequence[Message]) -> list[Message]:
        """The messages, in their order. Those of what is over stay as they are."""
        sources = sorted({source for message in messages if (source := self._source(message))})
        known = self._known(context, sources) if sources else {}
        return [self._completed(message, known) for message in messages]

    def _known(self, context: dg.SensorEvaluationContext, sources: Sequence[str]) -> Mapping[str, str]:
        """By source, what is safe. Empty if the repository does not answer: a message is sent all the same."""
        app = self._translator.app
        try:
            found = self._call.ask(lambda: app.state.points_of(sources), ANSWER_WITHIN_S)
        except Exception as error:
            log_of(context).warning("what is safe: %s: %s", type(error).__name__, error)
            return {}
        now = app.clock.now()
        return {source: what_is_safe(each, now) for source, each in found.items()}

    def _completed(self, message: Message, known: Mapping[str, str]) -> Message:
        source = self._source(message)
        if source in known:
            return replace(
                message, safe=known[source], next_step=self._next(_command(message, self._translator.app))
            )
        if source or _is_away(message):
            return replace(message, safe=UNKNOWN, next_step=self._next(command("doctor")))
        return message

    def _next(self, what: Command) -> str:
        return self._translator.written(("Next: ", what, "."))

    def _source(self, message: Message) -> str:
        """The source of a backup or of a copy with trouble; "" for what is neither, and for what is over."""
        subject = message.key.partition("|")[0]
        kind, _, rest = subject.partition("/")
        name = rest.partition("/")[2] if kind == COPIES else subject
        return name if name in self._translator.app.plan.sources and not message.over else ""


def _is_away(message: Message) -> bool:
    subject, _, kind = message.key.partition("|")
    return subject == ALL and kind in presence.STATES and not message.over


def _command(message: Message, app: App) -> Command:
    """What repeats a backup or a copy that was not made; else, what shows the state."""
    subject, _, kind = message.key.partition("|")
    if kind not in ("run", "missed"):
        return command("status")
    if subject in app.plan.sources:
        return command("backup", subject)
    _, repository, source = subject.split("/", 2)
    return command("copy", source, "--to", repository)
