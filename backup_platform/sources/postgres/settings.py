"""The session settings under which everything is read, written and compared.

A server may be configured to print a date, a float or a name in many ways, by role, by database or by the
environment of the client. Capture, load and drill pin what they depend on, all to the same values.

Text travels as UTF-8 from databases of every encoding. A database in SQL_ASCII holds bytes of no known encoding: the
server hands them out unchanged after checking that they are UTF-8, and refuses what is not. So such a database is
captured exactly, or fails with an error that names the encoding; nothing is guessed.
"""

from __future__ import annotations

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


def pin_statement(**overrides: str) -> str:
    """One statement that sets all of them for the session, with `overrides`; settings that the server does not know
    are left out."""
    values = ", ".join(f"({literal(name)}, {literal(value)})" for name, value in (PINNED | overrides).items())
    return (
        "SELECT pg_catalog.count(pg_catalog.set_config(v.name, v.value, false)) "  # noqa: S608
        f"FROM (VALUES {values}) v(name, value) WHERE pg_catalog.current_setting(v.name, true) IS NOT NULL"
    )


def literal(text: str) -> str:
    """A string constant of SQL, whatever `standard_conforming_strings` says."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in quoted else f"'{quoted}'"


def identifier(*names: str) -> str:
    """A name of SQL, quoted; of several, the qualified name."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
