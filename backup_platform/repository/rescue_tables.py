#!/usr/bin/env python3
"""Makes SQL files for psql of a PostgreSQL database that rescue.py restored: this one file, and `pip install pyarrow`.

    python rescue_tables.py DIRECTORY           writes DIRECTORY/load/, and prints how to load it

DIRECTORY is what rescue.py, or `backup-platform restore POINT --to DIRECTORY`, made of a recovery point: with
catalogue.json, database.json, schema.dump and tables/. Of a table's file that is not whole, the row groups that are
whole are taken, and the others counted. Exit codes: 0 all is well, 3 rows are lost, 1 it cannot be done.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from functools import partial
from typing import IO, Any

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    sys.exit("pyarrow is missing: pip install pyarrow")

LARGEST = 512 << 20  # bytes of a document
TROUBLES: list[str] = []
# No text of a database acts on a terminal: what does not print is shown as its escape.
escaped = partial(re.sub, r"[^ -~\n]|\n(?!\Z)", lambda m: m[0] if m[0].isprintable() else ascii(m[0])[1:-1])
# Values were captured under these settings; triggers and rules stay asleep.
SETTINGS = """\\set ON_ERROR_STOP on
SET client_encoding = 'UTF8';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
SET lc_monetary = 'C';
SET xmloption = 'content';
SET search_path = pg_catalog;
"""


def trouble(text: str) -> None:
    TROUBLES.append(text)
    print("!!", text, file=sys.stderr)


def quoted(*names: str) -> str:
    """An identifier of SQL."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    """A string constant of SQL."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def label(schema: str, name: str) -> str:
    """As the catalogue's other documents name a table."""
    return ".".join(quoted(n) if "." in n or '"' in n else n for n in (schema, name))


class Rescued:
    """The directory that rescue.py made."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.tables = self.read("catalogue.json")["tables"]
        self.database = self.read("database.json")
        place = os.path.join(root, "lost.json")
        self.lost: dict[str, list[list[int]]] = self.read("lost.json") if os.path.exists(place) else {}

    def read(self, name: str) -> dict[str, Any]:
        path = os.path.join(self.root, name)
        try:
            if os.path.getsize(path) > LARGEST:
                sys.exit(f"{name} in {self.root} is larger than the limit for this document.")
            with open(path, encoding="utf-8") as file:
                return dict(json.load(file))
        except (OSError, ValueError, RecursionError) as error:
            sys.exit(f"{name} cannot be read in {self.root} ({error}): is it a restored PostgreSQL database?")

    def batches(self, part: str) -> Iterator[Any]:
        """Rows of a Parquet file, without the row groups of which a byte is lost."""
        lost = self.lost.get(part, [])
        try:
            parquet = pq.ParquetFile(
                os.path.join(self.root, part + (".damaged" if lost else "")), pre_buffer=False
            )
        except (OSError, pa.ArrowException) as error:
            trouble(f"{part} is lost: {error}.")
            return
        with parquet:
            for number in range(parquet.num_row_groups):
                begin, end = extent(parquet.metadata.row_group(number))
                if any(start < end and stop > begin for start, stop in lost):
                    trouble(f"{part}: {parquet.metadata.row_group(number).num_rows:,} rows are lost.")
                else:
                    yield from parquet.iter_batches(1024, row_groups=[number], use_threads=False)


def extent(group: Any) -> tuple[int, int]:
    """Where the pages of a row group are in its file."""
    columns = [group.column(n) for n in range(group.num_columns)]
    begin = min(c.dictionary_page_offset or c.data_page_offset for c in columns)
    return begin, begin + sum(c.total_compressed_size for c in columns)


def texts(column: Any, as_bytes: bool = False) -> Any:
    """The values as COPY's text format has them; of a column that is stored as the bytes of its text, those bytes."""
    if as_bytes:
        values = [v if v is None else "".join(f"\\x{byte:02x}" for byte in v) for v in column.to_pylist()]
        return pa.array(values, pa.large_string())
    column = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
    kind = column.type
    if pa.types.is_fixed_size_binary(kind):
        return pa.array([value and value.hex() for value in column.to_pylist()], pa.large_string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        digits = [None if value is None else "\\\\x" + value.hex() for value in column.to_pylist()]
        return pa.array(digits, pa.large_string())
    if pa.types.is_timestamp(kind):
        column = column.view(pa.timestamp(kind.unit))  # an instant in UTC, as the session is
    column = column.cast(pa.large_string())
    for character, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        column = pc.replace_substring(column, character, escaped)
    return column


def write_rows(rescued: Rescued, table: dict[str, Any], file: IO[str]) -> int:
    """A table as `COPY … FROM STDIN` with its rows; how many these are."""
    through = {name: (to["schema"], to["name"]) for name, to in rescued.database["load_through"]}
    into = quoted(*through.get(label(table["schema"], table["name"]), (table["schema"], table["name"])))
    file.write(SETTINGS)
    if not table["columns"]:
        file.write(f"INSERT INTO {into} SELECT FROM generate_series(1, {int(table['rows'])});\n")
        return int(table["rows"])
    columns = ", ".join(quoted(column["name"]) for column in table["columns"])
    file.write(f"COPY {into} ({columns}) FROM STDIN;\n")
    forms = [column["storage"] for column in table["columns"]]
    count, tab = 0, pa.scalar("\t", pa.large_string())
    for batch in (batch for part in table["parts"] for batch in rescued.batches(part) if len(batch)):
        values = [*(texts(c, form == "bytes") for c, form in zip(batch.columns, forms, strict=True)), tab]
        lines = pc.binary_join_element_wise(*values, null_handling="replace", null_replacement="\\N")
        file.writelines(line + "\n" for line in lines.to_pylist())
        count += len(batch)
    file.write("\\.\n")
    return count


def write_last(rescued: Rescued, file: IO[str]) -> None:
    """Sequences, large objects and materialised views."""
    file.write(SETTINGS)
    for each in rescued.database["sequences"]:
        name = literal(quoted(each["sequence"]["schema"], each["sequence"]["name"]))
        file.write(f"SELECT setval({name}, {int(each['last_value'])}, {bool(each['is_called'])});\n")
    for each in rescued.database["large_objects"]:
        file.write(f"SELECT lo_create({int(each['oid'])});\n")
    folder = os.path.join(rescued.root, "large_objects")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        for batch in rescued.batches(f"large_objects/{name.removesuffix('.damaged')}"):
            for row in batch.to_pylist():
                data = f"decode('{row['data'].hex()}', 'hex')"
                file.write(f"SELECT lo_put({row['oid']}, {row['offset']}, {data});\n")
    for each in rescued.database["large_objects"]:
        file.writelines(large_object_statements(each))
    for view in rescued.database["refresh"]:
        file.write(f"REFRESH MATERIALIZED VIEW {quoted(view['schema'], view['name'])};\n")


def large_object_statements(each: dict[str, Any]) -> Iterator[str]:
    name, owner = f"LARGE OBJECT {int(each['oid'])}", quoted(each["owner"])
    if each["comment"] is not None:
        yield f"COMMENT ON {name} IS {literal(each['comment'])};\n"
    yield f"ALTER {name} OWNER TO {owner};\n"
    if each["acl"] is not None:
        yield f"REVOKE ALL ON {name} FROM PUBLIC, {owner};\n"
        for role, privileges, grantable in each["acl"]:
            if not re.fullmatch("[A-Z, ]+", privileges):  # psql would run what it says
                trouble(f"{name}: {privileges} is not a privilege.")
                continue
            to = quoted(role) if role else "PUBLIC"
            yield f"GRANT {privileges} ON {name} TO {to}{' WITH GRANT OPTION' if grantable else ''};\n"


def show_steps(rescued: Rescued) -> None:
    """What to type now."""
    root, locale = shlex.quote(rescued.root), rescued.database["locale"]
    options = ["-E", locale["encoding"], f"--lc-collate={locale['collate']}", f"--lc-ctype={locale['ctype']}"]
    with_locale = shlex.join(map(str, options))
    if os.path.exists(os.path.join(rescued.root, "globals.sql")):
        print(f"psql -d postgres -f {root}/globals.sql          # roles; those that exist may fail")
    print(f"createdb -T template0 {with_locale} NEW")
    print(f"pg_restore -d NEW --section=pre-data {root}/schema.dump")
    print(f"for f in {root}/load/[0-9]*.sql; do psql -q -d NEW -f $f || break; done")
    print(f"pg_restore -d NEW --section=post-data {root}/schema.dump")
    print(f"psql -q -d NEW -f {root}/load/last.sql")


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit((__doc__ or "").strip())
    os.umask(0o077)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        stream.write = lambda text, write=stream.write: write(escaped(text))  # type: ignore[method-assign]
    rescued = Rescued(sys.argv[1])
    folder = os.path.join(rescued.root, "load")
    os.makedirs(folder)
    for number, table in enumerate(rescued.tables, 1):
        name = label(table["schema"], table["name"])
        with open(os.path.join(folder, f"{number:05}.sql"), "x", encoding="utf-8", newline="\n") as file:
            count = write_rows(rescued, table, file)
        print(f"{number:05}.sql  {count:>14,} rows of {name}")
        if count != table["rows"]:
            trouble(f"{name} had {table['rows']:,} rows.")
    with open(os.path.join(folder, "last.sql"), "x", encoding="utf-8", newline="\n") as file:
        write_last(rescued, file)
    show_steps(rescued)
    return 3 if TROUBLES else 0


if __name__ == "__main__":
    sys.exit(main())
