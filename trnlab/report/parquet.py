"""A run as the folder of Parquet tables that the vendor's profiler writes.

Tables, fields, types and units are those of the profile schema that the vendor documents
(aws-neuron-sdk at 81ce03ae, tools/neuron-explorer/profile-schema-reference.rst). What a simulation
cannot know is null, and a table with nothing to say is empty.
"""

import csv
import os
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from trnlab.errors import BadArguments, MissingExtra
from trnlab.machine.chip import Chip
from trnlab.report.profile import tables
from trnlab.report.profile_facts import SCHEMA_VERSION
from trnlab.trace import Trace

WHOLE = {"integer (int64)": "int64", "integer (int32)": "int32", "boolean": "bool_"}
ARROW = WHOLE | {"string": "string", "number (float)": "float32", "number (double)": "float64"}
LISTS = "array of "


class Field(NamedTuple):
    """One column of a table, as documented."""

    table: str
    field: str
    type: str
    unit: str
    required: bool


@cache
def schema() -> dict[str, tuple[Field, ...]]:
    """The documented fields of every table that is kept in a file, in their order."""
    found: dict[str, list[Field]] = {}
    text = files("trnlab.report").joinpath("profile_schema.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        made = Field(row["table"], row["field"], row["type"], row["unit"], row["required"] == "yes")
        found.setdefault(made.table, []).append(made)
    return {table: tuple(rows) for table, rows in found.items()}


def save_profile(trace: Trace, chip: Chip, folder: str | PathLike[str]) -> Path:
    """Writes every table of a run as ``TABLE.parquet`` in a folder, and returns the folder.

    Timestamps are nanoseconds from the start of the run, percentages fractions of 1. The same trace
    gives the same tables. Raises MissingExtra without pyarrow, BadArguments where the folder holds
    something else or cannot be written.
    """
    arrow, parquet = _arrow()
    folder = Path(folder)
    check_folder(folder)
    known = {**tables(trace, chip), "SchemaFields": _schema_fields()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table, wanted in schema().items():
            made = arrow.table(*_columns(arrow, known.get(table, {}), wanted))
            partial = folder / f"{table}.{os.getpid()}.part"
            parquet.write_table(made, partial)
            partial.replace(folder / f"{table}.parquet")
    except OSError as error:
        raise BadArguments(f"cannot write to '{folder}': {error.strerror or error}") from None
    return folder


def check_folder(folder: str | PathLike[str]) -> None:
    """Raises BadArguments where no profile should be written, MissingExtra where none can be."""
    _arrow()
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise BadArguments(f"'{path}' is a file", fix="name a folder for the tables of a profile")
    others = [p.name for p in path.iterdir() if p.suffix != ".parquet"] if path.is_dir() else []
    if others:
        raise BadArguments(
            f"'{path}' holds '{sorted(others)[0]}'", fix="name a folder of its own for a profile"
        )


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as missing:
        raise MissingExtra("a profile in Parquet files", "report") from missing
    return pyarrow, parquet


def _columns(arrow: Any, held: dict[str, Any], wanted: tuple[Field, ...]) -> tuple[Any, Any]:
    """Columns as documented, and their schema; what nobody filled is null."""
    unknown = held.keys() - {field.field for field in wanted}
    assert not unknown, f"{wanted[0].table} has no {unknown}"
    rows = max((len(column) for column in held.values()), default=0)
    columns, fields = [], []
    for field in wanted:
        kind = _type(arrow, field.type)
        fields.append(arrow.field(field.field, kind, metadata={"unit": field.unit}))
        given = held.get(field.field)
        columns.append(
            arrow.nulls(rows, kind) if given is None else arrow.array(given, kind, from_pandas=True)
        )
    stamp = {"profile_schema_version": SCHEMA_VERSION, "made_by": "trnlab"}
    return columns, arrow.schema(fields, metadata=stamp)


def _type(arrow: Any, documented: str) -> Any:
    if documented.startswith(LISTS):
        return arrow.list_(_type(arrow, documented.removeprefix(LISTS)))
    return getattr(arrow, ARROW[documented])()


def _schema_fields() -> dict[str, list[Any]]:
    every = [field for rows in schema().values() for field in rows]
    parts = [field.type.removesuffix(")").partition(" (") for field in every]
    return {
        "table_name": [field.table for field in every],
        "field_name": [field.field for field in every],
        "field_type": [kind for kind, _, _ in parts],
        "field_format": [form or None for _, _, form in parts],
        "field_required": [field.required for field in every],
        "field_unit": [field.unit or None for field in every],
    }
