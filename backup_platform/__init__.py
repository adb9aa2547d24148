"""Backups as Dagster assets: proven recovery points, restorable without Dagster."""

__version__ = "0.1.0"

_COMPONENTS = {"BackupPlan": "backup_platform.orchestration.component"}
_FUNCTIONS = {"load_table": "backup_platform.app"}


def __dir__() -> list[str]:
    """With the Dagster component, where Dagster is installed: `dg` finds it by dir() and getattr()."""
    from importlib.util import find_spec

    return sorted([*globals(), *_FUNCTIONS, *(_COMPONENTS if find_spec("dagster") else ())])


def __getattr__(name: str) -> object:
    """Import what is asked for when it is, so that the command line never pays for Dagster."""
    # By name, so that the import contracts see that the core does not depend on Dagster.
    from importlib import import_module

    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    if name not in _COMPONENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_COMPONENTS[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "dagster":
            raise
        message = f"{__name__}.{name} needs Dagster: pip install 'backup-platform[dagster]'"
        raise ImportError(message) from error
