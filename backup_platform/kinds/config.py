"""The base class of the part of a plan that describes sources of one kind. It imports pydantic, which only plans
need."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class KindConfig(BaseModel):
    """The keys of a plan that only sources of one kind have.

    A subclass has a required field of the kind's name, whose value says what is protected; every other field has a
    default. Types of fields are in `backup_platform.plan.values`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
