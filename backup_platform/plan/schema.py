"""The JSON schema of a plan, for editors."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Union

from pydantic import Field, create_model
from pydantic.json_schema import GenerateJsonSchema

from backup_platform.kinds import registry
from backup_platform.plan.coverage import place_models
from backup_platform.plan.model import Plan
from backup_platform.plan.source import source_model
from backup_platform.plan.values import PlaceInCoverage, SourceName, show_duration

FILE = "backup.schema.json"
LINE = f"# yaml-language-server: $schema={FILE}"  # the first of a plan, beside which the schema is


def json_schema() -> dict[str, Any]:
    """Of a plan whose sources are of any kind that is installed.

    What it takes is a plan, but for what only `Plan.load` can tell: names that must fit together, texts of a form that
    no pattern says.
    """
    models = tuple(source_model(name) for name in registry.every())
    sources = Annotated[dict[SourceName, Union[models]], Field(min_length=1)]  # type: ignore[valid-type]  # noqa: UP007
    looks = place_models()
    places = Annotated[dict[PlaceInCoverage, Union[looks]], Field(default={})]  # type: ignore[valid-type]  # noqa: UP007
    whole = create_model("Plan", __base__=Plan, __doc__=None, sources=(sources, ...), coverage=(places, {}))
    schema = whole.model_json_schema(by_alias=True, schema_generator=_Schema)
    schema["oneOf"] = _exactly_one("repository", "repositories")
    for model in models:
        schema["$defs"][model.__name__]["oneOf"] = _exactly_one("every", "cron")
    return {"$schema": _Schema.schema_dialect, **schema}


def _exactly_one(*keys: str) -> list[dict[str, list[str]]]:
    return [{"required": [key]} for key in keys]


class _Schema(GenerateJsonSchema):
    """With durations as a plan has them."""

    def encode_default(self, dft: Any) -> Any:
        return show_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)
