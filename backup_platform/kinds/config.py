"""What the models of a plan have in common, and the base class of the part that describes sources of one kind. It
imports pydantic, which only plans need."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

# Of each part of a plan: unknown keys are refused, and no error message shows a value, because it may be a secret.
STRICT: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class KindConfig(BaseModel):
    """The keys of a plan that only sources of one kind have.

    A subclass has a required field of the kind's name, whose value says what is protected; every other field has a
    default. Types of fields are in `backup_platform.plan.values`.
    """

    model_config = STRICT
