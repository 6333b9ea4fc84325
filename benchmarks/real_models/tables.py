"""The tables of real models; `benchmarks.tables` inserts them."""

import json

from benchmarks import speed_tables
from benchmarks.real_models import base

_SHOWN = (base.KDTF, base.PLAIN, base.PEER)
_TOLERANCE = 1e-4  # of logits and of weights


def times(results):
    """What was distilled, whether kdtf can, time and memory."""
    lines = speed_tables.header(
        "teacher to student",
        "kdtf trains, exports, resumes",
        *(f"ms a step, {way}" for way in _SHOWN),
        *(f"peak MiB, {way}" for way in _SHOWN),
    )
    for row in _rows(results):
        lines.append(_line(row["title"], _verdict(row["checks"]), row, _SHOWN))
        # kdtf's other ways, beneath its first one.
        for way in [each for each in row["ways"] if each not in _SHOWN]:
            title = way.replace("kdtf", "the same")
            lines.append(_line(title, "", row, (way, None, None)))
    return lines


def checks(results):
    """Losses, and the differences that exporting and resuming make."""
    lines = speed_tables.header(
        "teacher to student",
        "loss of three epochs",
        "logits of the export, largest difference",
        "weights when resumed",
        "LiteRT, int8",
    )
    for row in _rows(results):
        found = row["checks"]
        lines.append(
            speed_tables.row(
                row["title"],
                _cell(found.get("losses"), _losses),
                _cell(found.get("export_difference"), "{:.1g}".format),
                _cell(found.get("resumed_difference"), "{:.1g}".format),
                _cell(found.get("litert"), _litert),
            )
        )
    return lines


def what(results):
    """What was run in each row, and what was raised."""
    figures = _load(results)
    imported = min(
        way["imported_mib"]
        for row in figures["rows"].values()
        for way in row["ways"].values()
        if "imported_mib" in way
    )
    lines = [
        f"Machine: {figures['machine']}; medians of {figures['rounds']} "
        f"rounds. A process that has imported all that they need, and done "
        f"nothing, takes {imported:,.0f} MiB.",
        "",
    ]
    for row in figures["rows"].values():
        weights = row["checks"].get("student_weights")
        student = f" ({weights:,} weights)" if weights else ""
        lines.append(f"- **{row['title']}**{student}: {row['what']}.")
        found = {way: row["ways"][way].get("raises") for way in row["ways"]}
        found |= {
            f"kdtf's {name}": row["checks"][name] for name in row["checks"]
        }
        lines += [
            f"  {name} {_in_a_line(text)}"
            for name, text in found.items()
            if isinstance(text, str)
        ]
    return lines


def _line(title, verdict, row, ways):
    found = [row["ways"].get(way) for way in ways]
    return speed_tables.row(
        title,
        verdict,
        *(_figure(way, "milliseconds", "{:,.1f}") for way in found),
        *(_figure(way, "peak_mib", "{:,.0f}") for way in found),
    )


def _figure(found, name, style):
    if found is None:
        return ""
    if "raises" in found:
        return _kind(found["raises"]) if name == "milliseconds" else ""
    return style.format(found[name])


def _verdict(found):
    """Whether a student did all that it should, or what it did not."""
    failed = [value for value in found.values() if isinstance(value, str)]
    if failed:
        return _kind(failed[0])
    good = {
        "trains": found["losses"][-1] < found["losses"][0],
        "exports": found["export_difference"] < _TOLERANCE,
        "resumes": found["resumed_difference"] < _TOLERANCE,
    }
    bad = [name for name, is_good in good.items() if not is_good]
    return f"not: {', '.join(bad)}" if bad else "yes"


def _cell(found, text):
    """A figure, the kind of an error, or nothing."""
    if found is None:
        return ""
    return _kind(found) if isinstance(found, str) else text(found)


def _losses(losses):
    return ", ".join(f"{loss:.3g}" for loss in losses)


def _litert(found):
    kilobytes = found["size"] / 1e3
    return f"{kilobytes:,.0f} KB, agrees in {found['agreement']:.1%}"


def _kind(raised):
    """An error without its message, which `what` shows."""
    return raised.partition(":")[0]


def _in_a_line(text):
    """The start of a message, as code in a line of Markdown."""
    message = " ".join(text.split()).removeprefix("raises ").replace("`", "'")
    return f"raises `{message[:200]}`{' ...' * (len(message) > 200)}"


def _rows(results):
    return _load(results)["rows"].values()


def _load(results):
    path = results / "real_models.json"
    return json.loads(path.read_text(encoding="utf-8"))
