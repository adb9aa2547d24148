"""Names and constants as SQL writes them."""

from __future__ import annotations


def literal(text: str) -> str:
    """A string constant of SQL, whatever `standard_conforming_strings` says."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in quoted else f"'{quoted}'"


def identifier(*names: str) -> str:
    """A name of SQL, quoted; of several, the qualified name."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
