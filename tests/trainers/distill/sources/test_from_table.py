"""trainers.distill.sources.from_table: CSV and Parquet."""

import datetime
import json

import keras
import numpy as np
import pyarrow
import pytest
import tensorflow as tf
from pyarrow import parquet

from tests import distill_data
from tests.distill_data import open_data

ROWS = [
    (str(k), ("red", "blue", "green")[k % 3], f"{k / 4}", ("no", "yes")[k % 2])
    for k in range(30)
]
HEADER = ("age", "colour", "weight", "bought")


def write(tmp_path, rows=ROWS, header=HEADER, sep=",", name="a.csv"):
    lines = [sep.join(row) for row in (header, *rows)]
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"csv:{tmp_path / name}"


@pytest.mark.parametrize("sep", ",;\t")
def test_numbers_and_categories(sep, tmp_path):
    data = open_data(write(tmp_path, sep=sep))
    assert data.kind == "table" and data.class_names == ("no", "yes")
    assert data.columns == (
        "age",
        "colour=?",
        "colour=blue",
        "colour=green",
        "colour=red",
        "weight",
    )
    ages = []
    for split in distill_data.splits_of(data).values():
        x, labels = distill_data.all_of(split)
        assert x.dtype == np.float32 and x.shape[1:] == data.input_shape == (6,)
        age = x[:, 0].astype(int)
        np.testing.assert_array_equal(labels, age % 2)
        np.testing.assert_array_equal(x[:, 5], age / 4)
        np.testing.assert_array_equal(x[:, 1:5].sum(1), 1)
        np.testing.assert_array_equal(
            x[:, 1:5].argmax(1), np.array([3, 1, 2])[age % 3]
        )
        ages += age.tolist()
    assert sorted(ages) == list(range(30))


def test_values_of_training_cases_alone(tmp_path):
    """What another file has besides is its own column."""
    test = write(
        tmp_path,
        [("1", "pink", "2", "yes"), ("2", "red", "3", "no")],
        name="b.csv",
    )
    data = open_data(write(tmp_path), test=test)
    x, labels = distill_data.all_of(data.test)
    np.testing.assert_array_equal(x[:, 1:5], [[1, 0, 0, 0], [0, 0, 0, 1]])
    assert labels.tolist() == [1, 0]
    # The same of a row that is held out.
    tested = distill_data.all_of(open_data(write(tmp_path)).test)[0][0, 0]
    data = open_data(write(tmp_path, changed(int(tested), 1, "pink")))
    assert "colour=pink" not in data.columns
    assert distill_data.all_of(data.test)[0][0, 1] == 1


def test_label_and_columns(tmp_path):
    where = write(tmp_path)
    data = open_data(where, label="colour", columns=["weight"])
    assert data.columns == ("weight",) and data.input_shape == (1,)
    assert data.class_names == ("blue", "green", "red")
    header = ("target", *HEADER[1:])
    rows = [(str(k % 2), *row[1:]) for k, row in enumerate(ROWS)]
    data = open_data(write(tmp_path, rows, header))
    assert data.class_names == ("0", "1")
    assert data.columns[-2:] == ("bought=no", "bought=yes")


def test_without_labels(tmp_path):
    data = open_data(write(tmp_path), unlabelled=True)
    assert data.class_names == () and "bought=yes" in data.columns
    data = open_data(write(tmp_path), unlabelled=True, label="bought")
    assert (data.train.labels == -1).all() and data.class_names == ("no", "yes")
    assert set(data.test.labels) == {0, 1}


def test_saved_for_who_serves(tmp_path):
    data = open_data(write(tmp_path))
    data.save(tmp_path)
    described = json.loads((tmp_path / "columns.json").read_text())
    assert tuple(described["features"]) == data.columns
    model = keras.models.load_model(tmp_path / "encoding.keras")
    row = {"age": 7.0, "colour": "green", "weight": 0.5}
    x = model(
        {
            described["inputs"][name]: tf.constant([[cell]])
            for name, cell in row.items()
        }
    )
    np.testing.assert_array_equal(x, [[7, 0, 0, 1, 0, 0.5]])


def test_parquet_is_as_csv(tmp_path):
    columns = dict(zip(HEADER, zip(*ROWS, strict=True), strict=True))
    table = pyarrow.table(
        {
            "age": [int(age) for age in columns["age"]],
            "colour": pyarrow.array(columns["colour"]).dictionary_encode(),
            "weight": [float(weight) for weight in columns["weight"]],
            "bought": columns["bought"],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    ours = open_data(f"parquet:{tmp_path / 'a.parquet'}")
    theirs = open_data(write(tmp_path))
    assert ours.columns == theirs.columns
    for one, other in zip(
        distill_data.splits_of(ours).values(),
        distill_data.splits_of(theirs).values(),
        strict=True,
    ):
        for x, y in zip(
            distill_data.all_of(one), distill_data.all_of(other), strict=True
        ):
            np.testing.assert_array_equal(x, y)


def test_row_numbers_of_pandas(tmp_path):
    table = pyarrow.table(
        {"a": range(20), "b": ["x", "y"] * 10, "__index_level_0__": range(20)}
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    data = open_data(f"parquet:{tmp_path / 'a.parquet'}")
    assert data.columns == ("a",) and data.class_names == ("x", "y")


def test_parquet_types(tmp_path):
    table = pyarrow.table(
        {
            "day": [datetime.date(2020, 1, 1)] * 8,
            "is": [True, False] * 4,
            "size": pyarrow.array([1.0, None] * 4),
            "label": [0, 1] * 4,
        }
    )
    where = f"parquet:{tmp_path / 'a.parquet'}"
    parquet.write_table(table, tmp_path / "a.parquet")
    data = open_data(where, columns=["is"])
    np.testing.assert_array_equal(distill_data.all_of(data.test)[0], [[1], [0]])
    with pytest.raises(ValueError, match=r"^--columns.*`day` is of date32"):
        open_data(where)
    with pytest.raises(ValueError, match="`size` has no number in row 2"):
        open_data(where, columns=["size"])
    with pytest.raises(ValueError, match=r"^--label .*`day` is of date32"):
        open_data(where, columns=["is"], label="day")


def test_cases_are_rows(tmp_path):
    """However long the name of a type is that x cannot have."""
    rows, more = 8, 3
    columns = {"size": [1.0] * rows, "label": [0, 1] * (rows // 2)}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    others = {
        "size": [2.0] * more,
        "at": [datetime.datetime(2020, 1, 1)] * more,
    }
    parquet.write_table(pyarrow.table(others), tmp_path / "b.parquet")
    data = open_data(
        f"parquet:{tmp_path / 'a.parquet'}",
        columns=["size"],
        unlabelled_data=f"parquet:{tmp_path / 'b.parquet'}",
    )
    cases = (data.train.cases, data.held_out.cases, data.test.cases)
    assert sum(cases) == rows + more
    assert (data.train.labels < 0).sum() == more


def test_a_file_that_is_no_parquet(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="must be a Parquet file"):
        open_data(f"parquet:{tmp_path / 'a.parquet'}")


@pytest.mark.parametrize(
    "cells",
    (
        ("1_1", "1_2", "1_3"),
        ("[UNK]", "[UNK]_", "x"),
        ("1,1", "1,2", "x"),
        ("1", "1,2", "2"),  # several choices, and no decimals
        ("1", "1,2,3", "2,3,1"),
        ("1200", "1200,115", "3"),  # too large for a number of thousands
    ),
)
def test_values_of_a_category(cells, tmp_path):
    """Whatever Python or Keras would take them for."""
    rows = [(*row[:2], cells[k % 3], row[3]) for k, row in enumerate(ROWS)]
    data = open_data(write(tmp_path, rows, sep=";"))
    assert data.columns[-3:] == tuple(f"weight={cell}" for cell in cells)
    x, _ = distill_data.all_of(data.test)
    assert x.shape[1] == len(data.columns)
    np.testing.assert_array_equal(x[:, -3:], np.eye(3)[x[:, 0].astype(int) % 3])


@pytest.mark.parametrize(
    "cell, other",
    (("0,5", "2"), ("-1.234,5", ""), ("1,5e-07", "?"), ("5,1", "few")),
)
def test_decimal_commas(cell, other, tmp_path):
    """Also where one cell is whole, missing or a text."""
    cells = [other] + [cell] * 29
    rows = [
        (*row[:2], own, row[3]) for row, own in zip(ROWS, cells, strict=True)
    ]
    where = write(tmp_path, rows, sep=";")
    with pytest.raises(
        ValueError, match=rf"^--data must .* point .*`weight` has {cell}$"
    ):
        open_data(where)
    assert open_data(where, columns=["age"]).columns == ("age",)


def test_two_columns_that_may_be_the_labels(tmp_path):
    """Of one the other would be a feature that gives it away."""
    rows = [(*row, row[3]) for row in ROWS]
    where = write(tmp_path, rows, (*HEADER[:3], "label", "target"))
    with pytest.raises(ValueError, match=r"^--label must .* label, target$"):
        open_data(where)
    data = open_data(where, label="target", columns=["age"])
    assert data.columns == ("age",) and data.class_names == ("no", "yes")


def with_weights(tmp_path, cells):
    rows = [
        (*row[:2], own, row[3]) for row, own in zip(ROWS, cells, strict=True)
    ]
    return write(tmp_path, rows)


@pytest.mark.parametrize("word", ("unknown", "3 kg", "1_000"))
def test_a_word_among_numbers(word, tmp_path):
    """Else every number would be a category of its own."""
    where = with_weights(tmp_path, [*(f"{k}.5" for k in range(29)), word])
    with pytest.raises(
        ValueError, match=rf"^--data must .*`weight` has '{word}' in row 30$"
    ):
        open_data(where)
    assert open_data(where, columns=["age"]).columns == ("age",)


@pytest.mark.parametrize(
    "cells",
    (
        [*(f"{k % 15}" for k in range(29)), "ground"],  # of few numbers
        [f"{k}" if k % 6 else f"{k}a" for k in range(30)],  # of many words
    ),
)
def test_categories_that_are_numbers_or_words(cells, tmp_path):
    data = open_data(with_weights(tmp_path, cells))
    assert "weight=?" in data.columns


def test_labels_of_other_places(tmp_path):
    """Are in the column of those of --data, wherever it is."""
    where, more = write(tmp_path), [(*row[:3], "") for row in ROWS[:4]]
    rows = [(*row, "yes") for row in ROWS[:6]]
    test = write(tmp_path, rows, (*HEADER, "seen"), name="b.csv")
    data = open_data(where, test=test)
    ages = distill_data.all_of(data.test)[0][:, 0]
    np.testing.assert_array_equal(data.test.labels, ages % 2)
    unlabelled = write(tmp_path, more, name="c.csv")
    data = open_data(where, test=test, unlabelled_data=unlabelled)
    assert data.train.labels[-len(more) :].tolist() == [-1] * len(more)
    test = write(tmp_path, rows, (*HEADER[:3], "a", "b"), name="d.csv")
    with pytest.raises(
        ValueError, match=r"^--label .*=bought, --test=.*d\.csv"
    ):
        open_data(where, test=test)


@pytest.mark.parametrize(
    "cells",
    (
        [f"{1234.5 + 100 * k:,.2f}" for k in range(30)],
        [f"{1234567 + k:,}" for k in range(30)],
        [f"{40 * k:,}" for k in range(30)],  # of which few are large
    ),
)
def test_commas_between_thousands(cells, tmp_path):
    rows = [
        (*row[:2], own, row[3]) for row, own in zip(ROWS, cells, strict=True)
    ]
    first = next(cell for cell in cells if "," in cell)
    with pytest.raises(
        ValueError, match=rf"^--data must .*no comma.*`weight` has {first}$"
    ):
        open_data(write(tmp_path, rows, sep=";"))


@pytest.mark.parametrize("ends", ((), (25,)))
def test_quotes_without_an_end(ends, tmp_path):
    """Would take the rows behind them for one cell, up to the next quote."""
    rows = [(row[3], *row[:3]) for row in ROWS]
    for place in (20, *ends):
        rows[place] = (*rows[place][:3], '"' + rows[place][3])
    where = write(tmp_path, rows, ("label", *HEADER[:3]))
    # The line of names comes first, and lines are counted from 1.
    with pytest.raises(ValueError, match=r"^--data must be a CSV.* line 22\)$"):
        open_data(where)


def test_quotes_around_cells(tmp_path):
    rows = [(*row[:1], f'"{row[1]},\n""x"""', *row[2:]) for row in ROWS]
    data = open_data(write(tmp_path, rows))
    found = {row[1] for row in ROWS}
    wanted = [f'colour={colour},\n"x"' for colour in sorted(found)]
    assert list(data.columns[2:5]) == wanted
    cases = (data.train.cases, data.held_out.cases, data.test.cases)
    assert sum(cases) == len(ROWS)


def test_columns_of_like_names(tmp_path):
    """Are inputs of names that differ."""
    header = ("a/b", "colour", "a_b", "bought")
    data = open_data(write(tmp_path, header=header))
    x, _ = distill_data.all_of(data.test)
    np.testing.assert_array_equal(x[:, 0] / 4, x[:, -1])
    data.save(tmp_path)
    described = json.loads((tmp_path / "columns.json").read_text())
    inputs = [described["inputs"][name] for name in ("a/b", "a_b")]
    assert inputs == ["a_b", "a_b_"]


@pytest.mark.filterwarnings("error::UserWarning")
def test_more_columns_in_another_file(tmp_path):
    """Are not looked at."""
    test = write(
        tmp_path,
        [(str(k), *row) for k, row in enumerate(ROWS)],
        ("id", *HEADER),
        name="b.csv",
    )
    data = open_data(write(tmp_path), test=test)
    np.testing.assert_array_equal(
        distill_data.all_of(data.test)[0][:, 0], np.arange(30)
    )


def changed(row, column, cell):
    rows = [list(r) for r in ROWS]
    rows[row][column] = cell
    return rows


@pytest.mark.parametrize(
    "rows, message",
    (
        (changed(3, 2, ""), "column `weight` has no number in row 4"),
        (changed(0, 0, "nan"), "column `age` has no number in row 1"),
        (changed(9, 0, "inf"), "column `age` has inf in row 10"),
        (changed(9, 0, "1e99"), r"column `age` has 1e\+99 in row 10"),
        ([*ROWS, ("1", "red")], "4 cells in each row.*with 2 in row 31"),
        ([], "rows of cases"),
    ),
)
def test_cells_that_cannot_be(rows, message, tmp_path):
    with pytest.raises(ValueError, match=rf"^--data must have.*{message}"):
        open_data(write(tmp_path, rows))


def test_a_missing_category_is_a_value(tmp_path):
    data = open_data(write(tmp_path, changed(3, 1, "")))
    assert "colour=" in data.columns


def test_mistakes(tmp_path):
    where = write(tmp_path)
    for flags, message in (
        ({"label": "z"}, "^--label must be a column.*=z.*age, colour"),
        ({"columns": ["z"]}, "^--columns must be columns.*z.*age, colour"),
        ({"columns": ["bought"]}, "^--columns must leave out the labels"),
        ({"label": "weight"}, "^--data must have labels.*whole.*0.25"),
    ):
        with pytest.raises(ValueError, match=message):
            open_data(where, **flags)
    with pytest.raises(ValueError, match="a file that exists"):
        open_data(f"csv:{tmp_path / 'missing.csv'}")
    with pytest.raises(ValueError, match=r"each column once.*age"):
        open_data(write(tmp_path, header=("age", "age", "b", "c")))
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match="CSV file in UTF-8"):
        open_data(f"csv:{tmp_path / 'b.csv'}")
    (tmp_path / "b.csv").write_bytes(b"")
    with pytest.raises(ValueError, match="CSV file in UTF-8"):
        open_data(f"csv:{tmp_path / 'b.csv'}")


def test_another_file_of_other_columns(tmp_path):
    where = write(tmp_path)
    rows = changed(0, 2, "heavy")
    with pytest.raises(ValueError, match=r"--test.*numbers in column `weight`"):
        open_data(where, test=write(tmp_path, rows, name="b.csv"))
    other = write(
        tmp_path, header=("age", "c", "weight", "bought"), name="c.csv"
    )
    with pytest.raises(ValueError, match=r"--test.*without colour"):
        open_data(where, test=other)
    other = write(tmp_path, changed(0, 3, "perhaps"), name="d.csv")
    with pytest.raises(ValueError, match=r"--test.*no, yes.*with perhaps"):
        open_data(where, test=other)
    rows = [(*row[:3], str(k % 2)) for k, row in enumerate(ROWS)]
    with pytest.raises(ValueError, match=r"--test.*no, yes.*with 0, 1"):
        open_data(where, test=write(tmp_path, rows, name="e.csv"))


def test_texts_are_no_categories(tmp_path):
    rows = [(str(k), f"text {k}", "1", "ab"[k % 2]) for k in range(2000)]
    with pytest.raises(ValueError, match=r"^--columns.*`colour` has 14"):
        open_data(write(tmp_path, rows))
