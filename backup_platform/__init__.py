"""Backups as Dagster assets: proven recovery points, restorable without Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    import pandas as pd
    import pyarrow as pa

__version__ = "0.1.0"

_COMPONENTS = {"BackupPlan": "backup_platform.orchestration.component"}


@overload
def load_table(
    source: str,
    window: str,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    filter: Any = None,
    as_pandas: Literal[False] = False,
    plan: str | None = None,
) -> pa.Table: ...


@overload
def load_table(
    source: str,
    window: str,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    filter: Any = None,
    as_pandas: Literal[True],
    plan: str | None = None,
) -> pd.DataFrame: ...


def load_table(
    source: str,
    window: str,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    filter: Any = None,  # noqa: A002  pyarrow's name for it
    as_pandas: bool = False,
    plan: str | None = None,
) -> pa.Table | pd.DataFrame:
    """A table of the recovery point of a window; "latest" is the newest complete one.

    `table` is `schema.name`, or a name that only one schema has. `filter` is a pyarrow expression, or a filter as
    `pyarrow.parquet.read_table` takes it. Only the columns and row groups that are asked for are read. `plan` is
    the plan's path, else $BACKUP_PLATFORM_PLAN, else ./backup.yaml.

    Raises NotFoundError when there is no such recovery point or table, UsageError, PlanError, RepositoryError.
    """
    # By name, so that the import contracts see that the core does not depend on what calls it.
    from importlib import import_module

    app = import_module("backup_platform.app").App.load(plan)
    return app.tables.load(source, window, table, columns=columns, filter=filter, as_pandas=as_pandas)


def __dir__() -> list[str]:
    """With the Dagster component, where Dagster is installed: `dg` finds it by dir() and getattr()."""
    from importlib.util import find_spec

    return sorted([*globals(), *(_COMPONENTS if find_spec("dagster") else ())])


def __getattr__(name: str) -> object:
    """Import a component when it is asked for, so that the command line never pays for Dagster."""
    if name not in _COMPONENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By name, so that the import contracts see that the core does not depend on Dagster.
    from importlib import import_module

    try:
        return getattr(import_module(_COMPONENTS[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "dagster":
            raise
        message = f"{__name__}.{name} needs Dagster: pip install 'backup-platform[dagster]'"
        raise ImportError(message) from error
