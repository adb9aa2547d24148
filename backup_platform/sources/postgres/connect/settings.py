"""The session settings under which everything is read, written and compared.

A role, a database or the environment of the client can configure how a server prints a date, a float or a name.
Capture, load and drill pin all settings that affect them, to the same values.

Text travels as UTF-8 from databases of every encoding. A database in SQL_ASCII holds bytes of unknown encoding. Its
texts are read as bytes. They are stored as text if they are UTF-8, and as bytes otherwise.
"""

from __future__ import annotations

from backup_platform.sources.postgres.quoting import identifier, literal

_OUTPUT = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "xmlbinary": "base64",
    "xmloption": "content",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
}
_BEHAVIOUR = {
    # Nothing of the user's may stand in for a built-in function, and names of types come out qualified.
    "search_path": "pg_catalog",
    # A policy that would filter rows is an error, not a smaller table.
    "row_security": "off",
    # Rows in the order of the heap from its first page: what did not change then repeats.
    "synchronize_seqscans": "off",
    # A query runs for as long as its table is large; compiling it pays on no catalogue query.
    "jit": "off",
    # A database that was frozen during an incident is still restored into; what only reads says so itself.
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}
PINNED = _OUTPUT | _BEHAVIOUR
_TIMEOUTS = tuple(name for name in PINNED if name.endswith("_timeout"))
_SINCE = {"idle_session_timeout": 140_000, "transaction_timeout": 170_000}


def pin_statement(*, local: bool = False, only_process: int | None = None, **overrides: str) -> str:
    """One statement that sets all of them, with `overrides`, for the session or for the transaction alone; settings
    that the server does not know are left out. It answers with the process of the session and how many it set: none
    when it is another process than `only_process`. It may run before the search path is pinned: every name and every
    operator in it is qualified, or an operator of the database's owner could take its place."""
    values = ", ".join(f"({literal(name)}, {literal(value)})" for name, value in (PINNED | overrides).items())
    condition = (
        ""
        if only_process is None
        else f" AND pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) {only_process}"
    )
    return (
        "SELECT pg_catalog.count(pg_catalog.set_config(v.name, v.value, "  # noqa: S608
        f"{'true' if local else 'false'})), pg_catalog.pg_backend_pid() "
        f"FROM (VALUES {values}) v(name, value) WHERE pg_catalog.current_setting(v.name, true) IS NOT NULL{condition}"
    )


def local_pins(server_version: int, **overrides: str) -> str:
    """Statements that set all of them for the transaction, and take no snapshot."""
    pins = {name: value for name, value in (PINNED | overrides).items() if name in known(server_version)}
    return "; ".join(f"SET LOCAL {identifier(name)} = {literal(value)}" for name, value in pins.items())


def loose_pins(server_version: int) -> str:
    """A query for the process of the session, and the settings that are not as they were pinned; it knows nothing of
    lock timeouts, which differ. The search path may be one that is not as it was pinned: operators are qualified."""
    names = [name for name in PINNED if name in known(server_version) and name != "lock_timeout"]
    values = ", ".join(f"({literal(name)}, {literal(PINNED[name])})" for name in names)
    return (
        "SELECT pg_catalog.pg_backend_pid(), pg_catalog.array_agg(v.name) "  # noqa: S608
        "FILTER (WHERE pg_catalog.current_setting(v.name) OPERATOR(pg_catalog.<>) v.value) "
        f"FROM (VALUES {values}) v(name, value)"
    )


def timeouts(server_version: int) -> tuple[str, ...]:
    """Settings of the user's under which not even the first query may run; of an unknown server (0) those that all
    have."""
    return tuple(name for name in _TIMEOUTS if name in known(server_version))


def known(server_version: int) -> frozenset[str]:
    """The settings that a server of that version has."""
    return frozenset(name for name in PINNED if server_version >= _SINCE.get(name, 0))
