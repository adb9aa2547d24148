"""The JSON schema of a plan, for editors."""

from __future__ import annotations

from typing import Annotated, Any, Union

from pydantic import Field, create_model

from backup_platform.kinds import registry
from backup_platform.plan.model import Plan
from backup_platform.plan.source import source_model
from backup_platform.plan.values import SourceName


def json_schema() -> dict[str, Any]:
    """Of a plan whose sources are of any kind that is installed."""
    models = tuple(source_model(name) for name in registry.every())
    sources = Annotated[dict[SourceName, Union[models]], Field(min_length=1)]  # type: ignore[valid-type]  # noqa: UP007
    whole = create_model("Plan", __base__=Plan, sources=(sources, ...))
    return whole.model_json_schema(by_alias=True)
