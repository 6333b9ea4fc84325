"""`csv:PATH` and `parquet:PATH`: rows of numbers and categories.

A CSV file has the names of its columns in the first line, and commas,
semicolons or tabs between them. A column of numbers alone is one; all others
are categories. `--label` names the column of labels; without it, that is
`label`, `target` or `class`, or the last one of `--data`.
"""

import csv
import dataclasses
import pathlib
import re

import numpy as np
from pyarrow import ArrowException, parquet, types

from trainers.distill.sources import labels, specs, tables
from trainers.distill.sources.parts import Part, Source

_LABELS = ("label", "target", "class")
_DELIMITERS = ",;\t"
_INDEX = re.compile(r"__index_level_\d+__")  # pandas' row numbers


def find(spec, options):
    """The rows of a file.

    Args:
      spec: `specs.Spec`.
      options: `parts.Options`.

    Returns:
      `parts.Source` of kind "table".

    Raises:
      ValueError: if the file is missing or cannot be read; a column is
        missing, or there twice; or a number is missing. The message names
        flag, column and row.
    """
    if not pathlib.Path(spec.place).is_file():
        raise ValueError(
            f"--{spec.flag} must be a file that exists. Received: {spec}"
        )
    read = _csv if spec.kind == "csv" else _parquet
    table = read(spec)
    known = [cells for cells in table.values() if not isinstance(cells, str)]
    cases = max(map(len, known), default=0)
    if not cases:
        raise ValueError(
            f"--{spec.flag} must have rows of cases. Received: {spec} with none"
        )
    label = _label(table, spec, options)
    classes, names = np.full(cases, -1, np.int32), options.class_names
    if label and not spec.is_unlabelled:
        where = f"{spec}, column `{label}`,"
        values = _cells_of_labels(table[label], label, spec)
        classes, names = labels.of_values(values, names, where, spec.flag)
    kept = _kept(table, label, spec, options)
    tables.require_complete(kept, spec)
    part = Part(spec, classes, None, raw=kept)
    # Of other places, too: their own last column may be another.
    options = dataclasses.replace(options, label=label)
    return Source("table", {"train": part}, names, options, fit=tables.Encoding)


def _csv(spec):
    """Dict from column to its cells."""
    try:
        with open(spec.place, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = max(_DELIMITERS, key=first.count)
            file.seek(0)
            header, *rows = _lines(file, delimiter)
    except ValueError as error:
        raise ValueError(
            f"--{spec.flag} must be a CSV file in UTF-8 with a line of names. "
            f"Received: {spec}: {error}"
        ) from error
    header = [name.strip() for name in header]
    _require_names(header, spec)
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise ValueError(
                f"--{spec.flag} must have {len(header)} cells in each row, as "
                f"in the line of names. Received: {spec} with {len(row)} in "
                f"row {number}"
            )
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    return {
        name: tables.column_of(cells)
        for name, cells in zip(header, columns, strict=True)
    }


def _lines(file, delimiter):
    """Yields the cells of each row, the names first.

    A quote without an end is refused: without `strict` all that comes behind it
    is taken for one cell, and its rows are gone.
    """
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    first = 1
    try:
        for row in reader:
            yield row
            first = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{error} (in the row that begins in line {first})"
        ) from error


def _parquet(spec):
    """Dict from column to its cells."""
    try:
        read = parquet.read_table(spec.place)
    except (OSError, ArrowException) as error:
        raise ValueError(
            f"--{spec.flag} must be a Parquet file. Received: {spec}: {error}"
        ) from error
    _require_names(read.column_names, spec)
    return {
        name: _of_arrow(column)
        for name, column in zip(read.column_names, read.columns, strict=True)
        if not _INDEX.fullmatch(name)
    }


def _of_arrow(column):
    """The cells of a column, or the name of a type that x cannot have."""
    kind = column.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if (
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
    ):
        cells = column.to_pylist()
        return np.array([np.nan if c is None else c for c in cells], float)
    if types.is_string(kind) or types.is_large_string(kind):
        cells = ["" if c is None else c for c in column.to_pylist()]
        return np.array(cells, dtype=object)
    return str(kind)


def _require_names(header, spec):
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice or "" in header:
        raise ValueError(
            f"--{spec.flag} must name each column once, in the first line. "
            f"Received: {spec} with {labels.listed(twice) or 'an empty name'}"
        )


def _label(table, spec, options):
    """The column of labels, or None."""
    if options.label:
        if options.label in table:
            return options.label
        if options.unlabelled and spec.flag in ("data", specs.UNLABELLED):
            return None
        raise ValueError(
            "--label must be a column, of all places the same. Received: "
            f"--label={options.label}, {spec} with the columns "
            f"{labels.listed(table)}"
        )
    named = [name for name in _LABELS if name in table]
    if len(named) > 1:  # of which one would be a feature, and may be the answer
        raise ValueError(
            "--label must say which column has the labels, where several have "
            f"such a name. Received: no --label, {spec} with "
            f"{labels.listed(named)}"
        )
    if named:
        return named[0]
    # Without labels the last column is one of numbers, like the others.
    return None if options.unlabelled else list(table)[-1]


def _cells_of_labels(values, label, spec):
    """Labels with -1 or "" where there is none."""
    if isinstance(values, str):
        raise ValueError(
            "--label must be a column of whole numbers or of texts. "
            f"Received: {spec}, whose column `{label}` is of {values}"
        )
    if values.dtype.kind != "f":
        return np.array([cell.strip() for cell in values], dtype=object)
    return np.where(np.isnan(values), -1, values)


def _kept(table, label, spec, options):
    """The columns of x."""
    wanted = options.columns or [name for name in table if name != label]
    if missing := [name for name in wanted if name not in table]:
        raise ValueError(
            f"--columns must be columns of the table. Received: "
            f"{labels.listed(missing)}, {spec} with the columns "
            f"{labels.listed(table)}"
        )
    if label in wanted:
        raise ValueError(
            "--columns must leave out the labels. Received: "
            f"--columns={','.join(wanted)}, --label={label}"
        )
    if not wanted:
        raise ValueError(
            f"--{spec.flag} must have columns beside the labels. "
            f"Received: {spec} with `{label}` alone"
        )
    for name in wanted:
        if isinstance(table[name], str):
            raise ValueError(
                "--columns must leave out what is neither number nor text. "
                f"Received: {spec}, whose column `{name}` is of {table[name]}"
            )
    return {name: table[name] for name in wanted}
