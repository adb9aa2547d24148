"""What to install when an import fails because an optional dependency is missing."""

from __future__ import annotations

from backup_platform.advice import shell
from backup_platform.errors import NotInstalledError

_EXTRAS = {  # of pyproject.toml, by the modules that they bring; those of kinds of sources are with the kinds
    "duckdb": "query",
    "fsspec": "query",
    "boto3": "s3",
    "botocore": "s3",
    "apprise": "dagster",
    "dagster": "dagster",
    "pandas": "dagster",
}


def not_installed(error: BaseException) -> NotInstalledError | None:
    """The advice for an import that failed because an extra is not installed; None for every other exception."""
    if not isinstance(error, ImportError):
        return None
    module = _module_of(error)
    if (install := _installed_by(module)) is None:
        return None
    hint = ("Run ", shell("pip", "install", install), ".")
    return NotInstalledError(f"This needs {module}, which is not installed here.", hint=hint)


def _module_of(error: ImportError) -> str:
    """The module that is not there, else the one that refused to be imported: psycopg does where its libpq is not."""
    name, frame = error.name, error.__traceback__
    while not name and frame:
        if frame.tb_next is None:
            name = str(frame.tb_frame.f_globals.get("__name__", ""))
        frame = frame.tb_next
    return (name or "").partition(".")[0]


def _installed_by(module: str) -> str | None:
    if module in _EXTRAS:
        return f"backup-platform[{_EXTRAS[module]}]"
    from backup_platform.kinds import registry

    kinds = registry.every().values()
    return next((kind.modules[module] for kind in kinds if module in kind.modules), None)
