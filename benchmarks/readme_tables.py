"""README's tables, from the figures committed under results/.

    python -m benchmarks.readme_tables           # writes them into README.md
    python -m benchmarks.readme_tables --check   # fails where they are stale

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; no figure in
it is typed by hand.
"""

import json
import pathlib
import re
import sys

from absl import app, flags

from kdtf import files
from trainers import report

ROOT = pathlib.Path(__file__).resolve().parent.parent
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text, results):
    """`text` with every table made anew.

    Args:
      text: str, Markdown with table marks.
      results: `pathlib.Path` of the folder of result files.

    Returns:
      str.

    Raises:
      ValueError: where a mark names a table that does not exist.
    """

    def fill(match):
        name = match[2]
        if name not in TABLES:
            raise ValueError(
                f"A table mark must name one of {sorted(TABLES)}. "
                f"Received: {name!r}"
            )
        return match[1] + "\n".join(TABLES[name](results)) + "\n" + match[3]

    return _TABLE.sub(fill, text)


def _load(results, name):
    return json.loads((results / name).read_text(encoding="utf-8"))


def _experiment(name):
    def table(results):
        metrics = _load(results, f"{name}/metrics.json")
        gain = metrics["gain_transferred"]
        p_values = [
            f"{test['p_value']:.1g}"
            for test in metrics["mcnemar"]["student_and_distilled"]
        ]
        lines = [*report.table(metrics), ""]
        if gain["mean"] is not None:
            lines.append(
                "Share of the teacher's advantage that the distilled student "
                f"keeps: {gain['mean']:.0%} (95 % interval "
                f"{report.interval(gain['ci95'], '.0%')})."
            )
        lines.append(
            "McNemar's test of student against distilled student, each seed: "
            f"p = {', '.join(p_values)}."
        )
        return lines

    return table


def _peers(results):
    rows = _load(results, "peer_comparison.json")["rows"]
    names = list(rows[0]["measured"])
    lines = [_row(["", "right", *names]), _row(["---"] * (len(names) + 2))]
    for row in rows:
        cells = [row["measured"][name] for name in names]
        lines.append(_row([row["what"], row["right"], *cells]))
    return lines


def _train_step(results):
    figures = _load(results, "train_step.json")
    lines = [
        _row(["ms a step", "XLA", "steps an execution", "median", "best"]),
        _row(["---"] * 5),
    ]
    for name, runs in figures["contenders"].items():
        for run in runs:
            lines.append(
                _row(
                    [
                        name,
                        "yes" if run["jit_compile"] else "no",
                        str(run["steps_per_execution"]),
                        f"{run['milliseconds']:.2f}",
                        "best" if run["best"] else "",
                    ]
                )
            )
    lines.append("")
    for ratio in figures["ratios"].values():
        low, high = ratio["quartiles"]
        lines.append(
            f"- {ratio['ours']} / {ratio['against']}, each at its best: "
            f"**{ratio['median']:.2f}** (quartiles {low:.2f} to {high:.2f})"
        )
    return lines


def _row(cells):
    return "| " + " | ".join(cells) + " |"


TABLES = {
    "mnist": _experiment("mnist"),
    "digits": _experiment("digits"),
    "peers": _peers,
    "train_step": _train_step,
}


def main(argv):
    """Writes or checks README.md."""
    del argv
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = render(before, ROOT / "results")
    if flags.FLAGS.check:
        if before != after:
            sys.exit(
                "README.md is stale: run python -m benchmarks.readme_tables"
            )
    else:
        files.write_whole(readme, after)


if __name__ == "__main__":
    flags.DEFINE_boolean("check", False, "fail where README.md is stale")
    app.run(main)
