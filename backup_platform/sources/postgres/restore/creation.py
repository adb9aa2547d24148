"""CREATE DATABASE as the captured one was made."""

from __future__ import annotations

from collections.abc import Iterator

from backup_platform.sources.postgres.document import Locale
from backup_platform.sources.postgres.quoting import identifier, literal

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
_PROVIDER_SINCE = 15
_RULES_SINCE = 16


def create_statement(name: str, locale: Locale, owner: str | None, major: int) -> str:
    """For a server of version `major`. If `owner` is None, the role that runs it becomes the owner."""
    parts = [f"CREATE DATABASE {identifier(name)} TEMPLATE template0", *_options(locale, major)]
    if owner is not None:
        parts.append(f"OWNER {identifier(owner)}")
    return " ".join(parts)


def _options(locale: Locale, major: int) -> Iterator[str]:
    yield f"ENCODING {literal(locale.encoding)}"
    yield f"LC_COLLATE {literal(locale.collate)}"
    yield f"LC_CTYPE {literal(locale.ctype)}"
    if major < _PROVIDER_SINCE:
        return
    provider = _PROVIDERS.get(locale.provider, "libc")
    yield f"LOCALE_PROVIDER {provider}"
    if provider != "libc" and locale.locale is not None:
        yield f"{provider.upper()}_LOCALE {literal(locale.locale)}"
    if locale.icu_rules is not None and major >= _RULES_SINCE:
        yield f"ICU_RULES {literal(locale.icu_rules)}"
