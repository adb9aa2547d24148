"""A program's standard output, as a kind of source."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from backup_platform.domain.ports import Source
from backup_platform.kinds.config import KindConfig
from backup_platform.kinds.kind import SourceContext, SourceKind
from backup_platform.plan.expect import Size
from backup_platform.plan.references import references
from backup_platform.plan.values import Span, without_secret

_SECRET_OPTION = re.compile(r"--?(pass|passwd|password|pwd|secret|token|auth)=.", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(r"PASS|PWD|AUTH|TOKEN|SECRET|CREDENTIAL|API_?KEY", re.IGNORECASE)
_TO_ENV = "other users see the words of a running program: put it into `env`, as in PASSWORD: ${file:path}"


def _words(value: object) -> object:
    if problem := _problem_of(value):
        raise ValueError(problem)
    return value


def _problem_of(words: object) -> str:
    if isinstance(words, str):
        return (
            "must be a list of words, as in [redis-cli, --rdb, '-']: no shell runs it. If it needs one, write "
            "[bash, -c, 'set -o pipefail; …']"
        )
    if not isinstance(words, list) or not words or words[0] == "":
        return "must be a list of words, the program first"
    return next(filter(None, map(_problem_of_word, words)), "")


def _problem_of_word(word: object) -> str:
    if not isinstance(word, str):
        return f"has the word {word}, which is not a text: put it in quotes"
    if "\0" in word:
        return "has a word with a zero byte"
    try:
        without_secret(word)
    except ValueError:
        return f"has a secret in it, and {_TO_ENV}"
    secret = _SECRET_OPTION.match(word) or next(references(word), None)
    return f"has a secret in it, and {_TO_ENV}" if secret else ""


def _variables(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f'"{name}" is not the name of a variable: use letters, digits and _')
        if "\0" in value:
            raise ValueError(f"{name} holds a zero byte")
        if _SECRET_NAME.search(name) and not value.startswith("/") and not next(references(value), None):
            raise ValueError(f"{name} must refer to a secret, as in ${{env:NAME}} or ${{file:path}}")
        without_secret(value)
    return values


def _file_name(value: str) -> str:
    if value in ("", ".", "..") or "/" in value or "\0" in value or len(os.fsencode(value)) > 255:
        raise ValueError("is not the name of a file: write one like dump.rdb")
    return value


Words = Annotated[
    list[str],
    BeforeValidator(_words),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "examples": [["redis-cli", "--rdb", "-"]],
        }
    ),
]


class CommandConfig(KindConfig):
    command: Words
    env: Annotated[dict[str, str], AfterValidator(_variables)] = Field(default_factory=dict)
    filename: Annotated[str, AfterValidator(_file_name)] = "output"
    timeout: Span = timedelta(hours=6)
    min_size: Size = 1
    check: Words | None = None


def _build(config: CommandConfig, context: SourceContext) -> Source:
    from backup_platform.sources.command.source import CommandSource

    wanted = config.env if context.purpose == "capture" else {}  # a drill gets no secret
    env = {name: context.secret(value) for name, value in wanted.items()}
    return CommandSource(
        context.name,
        tuple(config.command),
        env,
        tuple(env[name] for name, value in wanted.items() if next(references(value), None)),
        context.path("."),
        config.filename,
        config.timeout.total_seconds(),
        config.min_size,
        tuple(config.check or ()),
        context.clock,
    )


KIND = SourceKind("command", "output of a program", CommandConfig, _build, unit="stream", sizes="output")
