"""The tables of docs/results/scale.md: what was measured, and a model of it.

The model multiplies measured constants with sizes that nobody measured here:
it tells where a bottleneck lies, not how long a run takes.
"""

import json
import statistics

from benchmarks import speed_tables, timing

_GIGABIT = 1e9 / 8  # bytes a second
# A student of the size of ResNet-50, in float32.
PARAMETERS = 25e6
_BYTES_OF_PARAMETER = 4
# Seconds of a worker's own step, with a GPU and with a slower machine.
_STEPS = (0.1, 1.0)
_LINKS = (10, 25, 100)  # Gbit/s
_WORKERS = (8, 32, 128, 512)


def training(results):
    """Examples a second of workers together, beside one process."""
    lines = speed_tables.header(
        "student", "processes", "steps an execution", "examples/s", "ratio"
    )
    rows = _load(results)["training"]
    alone = {
        (row["student"], row["steps_per_execution"]): row
        for row in rows
        if row["workers"] == 1
    }
    for row in rows:
        one = alone[row["student"], row["steps_per_execution"]]
        lines.append(
            speed_tables.row(
                row["student"],
                str(row["workers"]),
                str(row["steps_per_execution"]),
                _rate(row),
                _times(row, one),
            )
        )
    return lines


def labelling(results):
    """Examples a second of processes that write one store, beside one."""
    lines = speed_tables.header("processes", "examples/s", "ratio")
    rows = _load(results)["labelling"]
    for row in rows:
        lines.append(
            speed_tables.row(
                str(row["workers"]), _rate(row), _times(row, rows[0])
            )
        )
    return lines


def reading(results):
    """Examples a second of processes that read one store, beside one."""
    lines = speed_tables.header("", "examples/s", "ratio")
    found = _load(results)["reading"]
    rows = {
        way: {"examples": found["examples"], "seconds": seconds}
        for way, seconds in found["seconds"].items()
    }
    one = next(iter(rows.values()))
    for way, row in rows.items():
        lines.append(speed_tables.row(way, _rate(row), _times(row, one)))
    return lines


def store(results):
    """The size of a store, against that of all logits."""
    found = _load(results)["store"]
    each, dense = found["bytes_an_example"], 2 * found["classes"]
    lines = speed_tables.header(
        "examples",
        f"top {found['top_k']} of {found['classes']:,}",
        "all logits, float16",
    )
    lines.append(
        speed_tables.row("1", f"{each:,.0f} bytes", f"{dense:,} bytes")
    )
    for count in (10**6, 10**9):
        lines.append(
            speed_tables.row(
                f"{count:,}",
                f"{each * count / 1e9:,.1f} GB",
                f"{dense * count / 1e12:,.1f} TB",
            )
        )
    return lines


def all_reduce(results):
    """What a step sends, and how long that takes a link."""
    del results  # a ring's volume is arithmetic
    lines = speed_tables.header(
        "workers",
        "each sends a step",
        *(f"seconds at {link} Gbit/s" for link in _LINKS),
        *(f"share of it in a step of {step:g} s, 25 Gbit/s" for step in _STEPS),
    )
    for workers in _WORKERS:
        sent = bytes_sent(workers)
        seconds = sent / (25 * _GIGABIT)
        lines.append(
            speed_tables.row(
                str(workers),
                f"{sent / 1e6:,.0f} MB",
                *(f"{sent / (link * _GIGABIT):.3f}" for link in _LINKS),
                *(f"{seconds / (seconds + step):.0%}" for step in _STEPS),
            )
        )
    return lines


def bytes_sent(workers):
    """By each worker in a ring all-reduce of the gradients."""
    size = PARAMETERS * _BYTES_OF_PARAMETER
    return 2 * (workers - 1) / workers * size


def bottleneck(results):
    """How many workers one needs of each, for 1 billion examples a day."""
    found = _load(results)
    need = 1e9 / 86_400
    rates = {
        "labelling, a core, with the teacher of this page": _number(
            found["labelling"][0]
        ),
        "reading, a core, images decoded": found["reading"]["examples"]
        / statistics.median(next(iter(found["reading"]["seconds"].values()))),
    }
    lines = speed_tables.header("", "examples/s measured", "cores for it")
    for what, rate in rates.items():
        lines.append(
            speed_tables.row(what, f"{rate:,.0f}", f"{need / rate:,.1f}")
        )
    size = found["store"]["bytes_an_example"]
    lines.append(
        speed_tables.row(
            "the store's own bytes, on disk or network",
            "",
            f"{need * size / 1e6:,.1f} MB/s",
        )
    )
    return lines


def _load(results):
    return json.loads((results / "scale.json").read_text(encoding="utf-8"))


def _number(row):
    return row["examples"] / statistics.median(row["seconds"])


def _rate(row):
    return f"{_number(row):,.0f}"


def _times(row, one):
    """Examples a second as a multiple of one process's, round by round."""
    if row is one:
        return "1"
    each = {
        name: [seconds / r["examples"] for seconds in r["seconds"]]
        for name, r in (("own", row), ("one", one))
    }
    found = timing.ratio(each["one"], each["own"])
    low, high = found["quartiles"]
    return f"**{found['median']:.2f}** ({low:.2f} to {high:.2f})"
