"""Failing schedules and sensors. Dagster shows a failure at their ticks, but alerts nobody.

The ticks are read, instead of wrapping the evaluations. So a result that Dagster refuses is seen, too, and an
evaluation that Dagster ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    TickStatus,
)

from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.orchestration.sensors.outbox import ALL, Desk
from backup_platform.orchestration.shown import log_of

ENDED = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
# While a code location is loaded anew a tick or two cannot reach it, and the next one does.
IN_A_ROW = {InstigatorType.SENSOR: 3, InstigatorType.SCHEDULE: 1}
MOST_TOLD = 600  # characters of an error


def subject_of(name: str) -> str:
    """The subject of these incidents."""
    return f"automation/{name}"


def tell_failures(
    context: dg.SensorEvaluationContext,
    desk: Desk,
    names: Collection[str],
    now: datetime,
    *,
    running: bool,
) -> None:
    """One incident for each of the schedules and sensors `names` that fails. One that was stopped fails no more."""
    problem: Trouble | None = None
    try:
        for state in _states(context, names):
            subject = subject_of(state.instigator_name)
            off = running and state.status == InstigatorStatus.STOPPED
            desk.observe(
                subject, "off", _off(state) if off else None, now, (f"{_name(state)} is on again", "")
            )
            if state.is_running:  # what is off was not seen to work
                desk.observe(subject, "ticks", _problem(context.instance, state), now)
    except Exception as error:  # these are Dagster's own parts, and the sensor has more to tell
        log_of(context).exception("ticks")
        problem = Trouble(
            "", "whether schedules and sensors fail cannot be seen", f"{type(error).__name__}: {error}"
        )
    desk.observe(ALL, "ticks", problem, now)


def _states(context: dg.SensorEvaluationContext, names: Collection[str]) -> Iterator[InstigatorState]:
    """The states of this code location. Another one may use the same names."""
    if (
        context.instance.schedule_storage is None
    ):  # of an instance that lives in memory: it has no daemon, either
        return
    origin = context.code_location_origin
    location = origin.location_name if origin else None
    for state in context.instance.all_instigator_state():
        if state.instigator_name in names and location in (None, state.repository_selector.location_name):
            yield state


def _problem(instance: dg.DagsterInstance, state: InstigatorState) -> Trouble | None:
    needed = IN_A_ROW.get(state.instigator_type, 1)
    ticks = _ended(instance, state, needed)
    if len(ticks) < needed or any(tick.status != TickStatus.FAILURE for tick in ticks):
        return None
    what = f"What it does is not done meanwhile. See Automation, {state.instigator_name} in the Dagster UI."
    return Trouble("", f"{_name(state)} fails", f"{_text(ticks[0].error)}\n{what}")


def _off(state: InstigatorState) -> Trouble:
    """Of one that somebody switched off, which Dagster tells nobody."""
    what = "What it does is not done meanwhile. Switch it on again in the Dagster UI, under Automation."
    return Trouble("", f"{_name(state)} is switched off", what)


def _name(state: InstigatorState) -> str:
    return f"the {state.instigator_type.value.lower()} {state.instigator_name}"


def _ended(instance: dg.DagsterInstance, state: InstigatorState, limit: int) -> list[InstigatorTick]:
    return list(
        instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=limit, statuses=ENDED)
    )


def _text(error: Any) -> str:
    """The innermost message: the outer ones name Dagster's own parts."""
    while error is not None and error.cause is not None:
        error = error.cause
    text = error.message.strip() if error is not None else "No error was recorded."
    return text if len(text) <= MOST_TOLD else f"{text[:MOST_TOLD]}…"
