"""Columns of numbers and categories as one vector a case.

Numbers stay as they are: a net normalises them itself. A category becomes one
feature for each value that the training cases have, and one before them for any
other value. What does so is a Keras model, which is saved for whoever serves
the student.
"""

import json
import pathlib
import re

import keras
import numpy as np
import tensorflow as tf

from kdtf import _atomic
from trainers.distill.sources import labels

ENCODING = "encoding.keras"
COLUMNS = "columns.json"
_MOST_VALUES = 1000
_ROWS_AT_ONCE = 4096
# Texts of cells that hold no number.
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
_NUMBER = re.compile(
    r"[+-]?[\d.]+(?P<comma>,\d+|(,\d{3})+(\.\d*)?)?(e[+-]?\d+)?", re.I
)
# All numbers of a column whose commas are between thousands.
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})*(\.\d*)?")
# So many of a column's cells are numbers if it was meant as one of numbers, and
# so many of them differ; with fewer they may well be categories.
_NEARLY_ALL, _MANY_NUMBERS = 0.9, 20


def column_of(cells):
    """A column of texts, as numbers where all are some.

    Args:
      cells: list of strings.

    Returns:
      `[cases]` float64 array, NaN where a number is missing; or `[cases]` array
      of strings.
    """
    there = [cell.strip().lower() not in MISSING for cell in cells]
    if not any(there):
        return np.full(len(cells), np.nan)
    try:
        return np.array(
            [
                labels.number(cell) if found else np.nan
                for cell, found in zip(cells, there, strict=True)
            ]
        )
    except ValueError:
        return np.array(cells, dtype=object)


def require_complete(table, spec):
    """Requires numbers that are finite, without a comma, or no numbers.

    Args:
      table: dict from column to `[cases]` array.
      spec: `specs.Spec`.

    Raises:
      ValueError: if one is not; the message has its column and row.
    """
    for name, values in table.items():
        if values.dtype.kind != "f":
            _require_points(name, values, spec)
            if spec.flag == "data":  # which says what is a column of numbers
                _require_no_text(name, values, spec)
            continue
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32))
        if finite.all():
            continue
        row = int(np.flatnonzero(~finite)[0])
        what = "no number" if np.isnan(values[row]) else str(values[row])
        raise ValueError(
            f"--{spec.flag} must have a finite number in each row of a column "
            "of numbers: fill it, remove its rows, or leave it out by "
            f"--columns. Received: {spec}, whose column `{name}` has {what} in "
            f"row {row + 1}"
        )


def _require_points(name, cells, spec):
    """Requires that texts are not numbers with commas in them."""
    there = [c.strip() for c in cells if c.strip().lower() not in MISSING]
    found = [one for cell in there if (one := _NUMBER.fullmatch(cell))]
    commas = [one[0] for one in found if one["comma"]]
    if len(found) < _NEARLY_ALL * len(there) or not commas:
        return
    grouped = all(_GROUPED.fullmatch(one[0]) for one in found)
    if grouped or 2 * len(commas) > len(there):
        raise ValueError(
            f"--{spec.flag} must have numbers with a decimal point and no "
            "comma, such as 1234.5: write them so; or, if they are categories, "
            f"with something else between digits. Received: {spec}, whose "
            f"column `{name}` has {commas[0]}"
        )


def _require_no_text(name, cells, spec):
    """Requires that texts are not numbers, but for a few words among them.

    Each number would be a category, and one that training cases lack unknown.
    """
    rows = [
        row
        for row, cell in enumerate(cells)
        if cell.strip().lower() not in MISSING
    ]
    words = [row for row in rows if not labels.is_number(cells[row])]
    numbers = {cells[row] for row in rows} - {cells[row] for row in words}
    few = len(rows) - len(words) >= _NEARLY_ALL * len(rows)
    if words and few and len(numbers) >= _MANY_NUMBERS:
        raise ValueError(
            f"--{spec.flag} must have numbers alone in a column of numbers: "
            "write a number instead, remove those rows, or leave the column "
            f"out by --columns. Received: {spec}, whose column `{name}` has "
            f"{cells[words[0]]!r} in row {words[0] + 1}"
        )


class Encoding:
    """How a row of a table becomes x.

    Attributes:
      columns: tuple of strings, names of features: "age" for a number,
        "colour=red" for a value, "colour=?" for all that are not known.
    """

    def __init__(self, part, rows):
        """Finds the values of categories.

        Args:
          part: `parts.Part` whose raw is a dict from column to `[cases]` array.
          rows: int array, the training cases.

        Raises:
          ValueError: if a category has more values than features should be.
        """
        self._inputs, features, columns = {}, [], []
        for name, values in part.raw.items():
            if values.dtype.kind == "f":
                features.append(self._input(name, "float32"))
                columns.append(name)
                continue
            found = sorted(set(values[rows]))
            _require_few(name, found, part.spec)
            lookup = keras.layers.StringLookup(
                vocabulary=found,
                oov_token=_unlike("[UNK]", found),
                output_mode="one_hot",
            )
            one_hot = lookup(self._input(name, "string"))
            features.append(keras.ops.cast(one_hot, "float32"))
            columns += [f"{name}={value}" for value in ("?", *found)]
        self.columns = tuple(columns)
        # One vector, also where there is a single column.
        x = keras.layers.Concatenate()([features[0][:, :0], *features])
        self._model = keras.Model({i.name: i for i in self._inputs.values()}, x)

    def _input(self, name, dtype):
        """The input of a column. Keras allows no slash in its name."""
        names = [other.name for other in self._inputs.values()]
        key = _unlike(name.replace("/", "_"), names)
        self._inputs[name] = keras.Input((1,), dtype=dtype, name=key)
        return self._inputs[name]

    def xs(self, raw, rows):
        """A `tf.data.Dataset` of x.

        Args:
          raw: dict from column to `[cases]` array.
          rows: int array, the cases wanted.
        """
        encoded = [
            self._encoded(raw, some)
            for some in np.split(
                rows, range(_ROWS_AT_ONCE, len(rows), _ROWS_AT_ONCE)
            )
        ]
        return tf.data.Dataset.from_tensor_slices(np.concatenate(encoded))

    def save(self, directory):
        """Writes `encoding.keras` and `columns.json` into a folder.

        The first is a Keras model from a dict of columns, each `[batch, 1]` of
        float32 or strings, to `[batch, features]`; the second has the names of
        columns, inputs and features.
        """
        directory = pathlib.Path(directory)
        self._model.save(directory / ENCODING)
        described = {
            "inputs": {name: i.name for name, i in self._inputs.items()},
            "features": list(self.columns),
        }
        text = json.dumps(described, indent=2, ensure_ascii=False)
        _atomic.write_whole(directory / COLUMNS, text + "\n")

    def _encoded(self, raw, rows):
        given = {}
        for name, wanted in self._inputs.items():
            cells = raw[name][rows][:, None]
            given[wanted.name] = tf.constant(cells, wanted.dtype)
        return self._model(given).numpy()


def require_same_columns(train, part):
    """Requires the columns, and kinds of columns, of the training cases.

    Args:
      train: `parts.Part`.
      part: another one.

    Raises:
      ValueError: if they are others.
    """
    if missing := [name for name in train.raw if name not in part.raw]:
        raise ValueError(
            f"--{part.spec.flag} must have the columns of --data. Received: "
            f"{part.spec} without {labels.listed(missing)}"
        )
    for name, values in train.raw.items():
        ours, theirs = (
            values.dtype.kind == "f",
            part.raw[name].dtype.kind == "f",
        )
        if ours != theirs:
            kinds = {True: "numbers", False: "categories"}
            raise ValueError(
                f"--{part.spec.flag} must have {kinds[ours]} in column "
                f"`{name}`, as --data has. Received: {part.spec} with "
                f"{kinds[theirs]}"
            )


def _require_few(name, found, spec):
    if len(found) > _MOST_VALUES:
        raise ValueError(
            f"--columns must leave out texts that say little of other cases: "
            f"a category has at most {_MOST_VALUES} values. Received: {spec}, "
            f"whose column `{name}` has {len(found)}, such as {found[0]!r}"
        )


def _unlike(name, others):
    """A name, with underscores appended until none of the others has it."""
    while name in others:
        name += "_"
    return name
