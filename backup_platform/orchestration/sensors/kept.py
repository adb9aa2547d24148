"""What a sensor keeps: its cursor, and in Dagster's instance what it remembers while it is evaluated.

Dagster keeps a cursor only when the evaluation has ended well. What is to be sent is remembered before, and what was
sent at once: an evaluation that is killed in between neither loses a message nor tells another story the next time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import dagster as dg

from backup_platform.orchestration.sensors.outbox import read_cursor


@dataclass(frozen=True)
class SensorState:
    """The `state` that an evaluation begins with, and the number that the evaluation has."""

    instance: dg.DagsterInstance
    name: str
    state: dict[str, Any]
    revision: int

    @classmethod
    def load(cls, context: dg.SensorEvaluationContext) -> SensorState:
        """The cursor; what was remembered in an evaluation after it, which was killed, takes the place of its parts. A
        cursor that somebody deleted or wrote is begun anew."""
        origin = context.code_location_origin
        name = f"backup_platform/{origin.location_name if origin else ''}/{context.sensor_name}"
        state = read_cursor(context.cursor)
        text = context.instance.daemon_cursor_storage.get_cursor_values({name}).get(name)
        remembered = read_cursor(text)
        revision, latest = state.get("revision"), int(remembered.get("revision", 0))
        if isinstance(revision, int) and latest > revision:
            state |= remembered
        known = revision if isinstance(revision, int) else 0
        return cls(context.instance, name, state, max(known, latest) + 1)

    def remember(self, parts: dict[str, Any]) -> None:
        """Keep these parts of the state now."""
        text = json.dumps({**parts, "revision": self.revision})
        self.instance.daemon_cursor_storage.set_cursor_values({self.name: text})

    def cursor(self, state: dict[str, Any]) -> str:
        return json.dumps({**state, "revision": self.revision})
