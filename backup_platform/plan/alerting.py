"""What a plan says of alerts, besides their channels."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from backup_platform.domain.incidents.policy import AlertPolicy, QuietHours
from backup_platform.plan.values import At, Span, Timezone, WebPage


class QuietConfig(BaseModel):
    """Each day from `begin` to `end`, over midnight if `end` is earlier."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    begin: At
    end: At
    timezone: Timezone = "UTC"


class AlertingConfig(BaseModel):
    """When people are told again, what may wait, and where the Dagster UI is."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    remind: Annotated[list[Span], Field(min_length=1)] = [timedelta(hours=1), timedelta(days=1)]
    quiet: QuietConfig | None = None
    dagster: WebPage | None = None

    @property
    def policy(self) -> AlertPolicy:
        """When to tell people, as the rules of incidents read it."""
        quiet = QuietHours(self.quiet.begin, self.quiet.end, self.quiet.timezone) if self.quiet else None
        return AlertPolicy(tuple(self.remind), quiet=quiet)

    def run_link(self, run: str) -> str:
        """The address of a run in the Dagster UI; "" if the plan does not say where that is."""
        return f"{self.dagster.rstrip('/')}/runs/{run}" if self.dagster else ""
