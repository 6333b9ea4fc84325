"""The tables of real models; `benchmarks.tables` inserts them."""

import json

from benchmarks import real_models_row, speed_tables

_SHOWN = (real_models_row.KDTF, real_models_row.PLAIN, real_models_row.PEER)


def rows(results):
    """What was distilled, whether all went well, time and memory."""
    lines = speed_tables.header(
        "teacher to student",
        "loss of three epochs",
        "export differs by",
        "resumed, differs by",
        *(f"ms a step, {way}" for way in _SHOWN),
        *(f"peak MiB, {way}" for way in _SHOWN),
    )
    for each in _load(results)["rows"].values():
        lines.append(_row(each, each["title"], _SHOWN))
        if real_models_row.STORED in each["ways"]:
            stored = (real_models_row.STORED, None, None)
            lines.append(_row(each, f"{each['title']}, stored", stored))
    return lines


def what(results):
    """What was run in each row, and what went wrong."""
    figures = _load(results)
    lines = [
        f"Machine: {figures['machine']}; medians of {figures['rounds']} "
        "rounds.",
        "",
    ]
    for each in figures["rows"].values():
        weights = each["checks"].get("student_weights")
        student = f" ({weights:,} weights)" if weights else ""
        lines.append(f"- **{each['title']}**{student}: {each['what']}.")
        lines += [
            f"  {way} {found['raises']}"
            for way, found in each["ways"].items()
            if "raises" in found
        ]
    return lines


def _row(each, title, ways):
    """A line, without the checks where kdtf's first way is not shown."""
    checks = each["checks"] if ways == _SHOWN else {}
    found = [each["ways"].get(way) for way in ways]
    return speed_tables.row(
        title,
        _losses(checks.get("losses", [])),
        _difference(checks.get("export_difference")),
        _difference(checks.get("resumed_difference")),
        *(_cell(way, "milliseconds", ",.1f") for way in found),
        *(_cell(way, "peak_mib", ",.0f") for way in found),
    )


def _losses(losses):
    if isinstance(losses, str):
        return _kind(losses)
    return ", ".join(f"{loss:.3g}" for loss in losses)


def _difference(found):
    if isinstance(found, str):
        return _kind(found)
    return "" if found is None else f"{found:.1g}"


def _cell(found, figure, style):
    if found is None:
        return ""
    if "raises" in found:
        return _kind(found["raises"]) if figure == "milliseconds" else ""
    return format(found[figure], style)


def _kind(raised):
    """An error without its message, which `what` shows."""
    return raised.partition(":")[0]


def _load(results):
    path = results / "real_models.json"
    return json.loads(path.read_text(encoding="utf-8"))
