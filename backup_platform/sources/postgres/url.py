"""The URL of a database, as a plan has it."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, WithJsonSchema

from backup_platform.plan.values import without_secret

# libpq takes several hosts, each with its port, and IPv6 addresses in brackets.
_SERVICE = re.compile(r"service\s*=\s*([^\s'\\]+)")  # of a pg_service.conf
_BAD_PORT = re.compile(
    r"\w+://(?:[^/?#@]*@)?(?:[^/?#:[]|\[[^]]*\]|:\d*(?=[,/?#]|$))*:(?!\d*(?:[,/?#]|$))([^,/?#]*)"
)


def _database_url(value: str) -> str:
    if value.startswith("${"):
        return value
    if service := _SERVICE.fullmatch(value):
        return f"postgresql:///?service={quote(service[1])}"
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("not the URL of a database; write one like postgresql://user@host:5432/database")
    without_secret(value)
    if "${" not in value and (port := _BAD_PORT.match(value)):
        raise ValueError(
            f'"{port[1]}" is not a port; write the URL like postgresql://user@host:5432/database'
        )
    return value


def with_password(url: str, password: str) -> str:
    """libpq takes a password as a parameter of the URL, too, whatever stands before its host."""
    return f"{url}{'&' if '?' in url else '?'}password={quote(password, safe='')}"


DatabaseUrl = Annotated[
    str,
    AfterValidator(_database_url),
    WithJsonSchema({"type": "string", "examples": ["postgresql://user@host/shop"]}),
]
