"""Secrets by reference: `${env:NAME}` and `${file:path}` anywhere in a text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from backup_platform.errors import PlanError

MAX_SECRET = 1_000_000
_REFERENCE = re.compile(r"\$\{(env|file):([^}]+)\}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def references(value: object) -> Iterator[str]:
    """Every reference in a tree of plain data."""
    if isinstance(value, str):
        yield from (found[0] for found in _REFERENCE.finditer(value))
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)


def problem_of(value: str, base: str) -> tuple[str, PlanError] | None:
    """The first reference of a text that cannot be looked up, and why."""
    for reference in references(value):
        try:
            resolve(reference, base)
        except PlanError as error:
            return reference, error
    return None


def reference_problem(text: str) -> str | None:
    """What is wrong with the references of a text; None when nothing is."""
    for found in re.finditer(r"\$\{([^}]*)\}?", text):
        kind, _, name = found[1].partition(":")
        if not found[0].endswith("}"):
            return "a reference ${... has no closing }"
        if kind not in ("env", "file") or not name:
            return f"${{{_short(found[1])}}} is not a reference; write ${{env:NAME}} or ${{file:path}}"
        if kind == "env" and not _ENV_NAME.fullmatch(name):
            return f"${{env:{_short(name)}}} does not name an environment variable"
    return None


def resolve(text: str, base: str) -> str:
    """The text, with references replaced by their values. Files are relative to `base`. Raises PlanError."""
    return _REFERENCE.sub(lambda found: _look_up(found[1], found[2], base), text)


def _look_up(kind: str, name: str, base: str) -> str:
    if kind == "env":
        value = os.environ.get(name)
        if value is None:
            raise PlanError(
                f"${{env:{name}}}: the environment variable is not set", hint=f"Set {name} where this runs."
            )
        return _not_empty(value, f"${{env:{name}}}: the environment variable is empty")
    return _read(name, base)


def _a_secret(text: str, origin: str) -> str:
    if len(text) > MAX_SECRET:
        raise PlanError(f"{origin} is longer than {MAX_SECRET:,} characters, which is too long for a secret")
    return _not_empty(text.rstrip("\r\n"), f"{origin} is empty")


def _not_empty(value: str, problem: str) -> str:
    """An empty one would turn `/srv/${env:NAME}` into another place, and a password into none. Raises PlanError."""
    if not value:
        raise PlanError(problem, hint="Write a value there, or leave the reference out of the plan.")
    return value


def _read(name: str, base: str) -> str:
    path = os.path.join(base, os.path.expanduser(name))
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_SECRET + 1)
        return _a_secret(text, f"${{file:{name}}}: {path}")
    except UnicodeDecodeError:
        raise PlanError(f"${{file:{name}}}: {path} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PlanError(
            f"${{file:{name}}}: {path} cannot be read: {reason}", hint="Write the secret into this file."
        ) from None


def _short(text: str) -> str:
    return text if len(text) <= 20 else text[:20] + "..."
