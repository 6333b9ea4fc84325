"""The tables of the specialists' sets and of their combination."""

import json

from benchmarks import speed_tables


def clusters(results):
    """Time and memory to find confusable classes, and how good the sets are."""
    lines = speed_tables.header(
        "classes",
        "sets",
        "correlations, s",
        "sets, s",
        "memory, MiB",
        "one matrix, MiB",
        "covered confusion",
        "random sets",
        "classes in no set",
    )
    for row in _load(results, "clusters.json")["rows"]:
        lines.append(
            speed_tables.row(
                f"{row['classes']:,}",
                f"{row['sets']} of {row['classes_of_a_set']}",
                f"{row['seconds_correlations']:.0f}",
                f"{row['seconds_sets']:.0f}",
                f"{row['mib']:,.0f}",
                f"{row['mib_of_matrix']:,.0f}",
                f"{row['covered']:.2f}",
                f"{row['covered_random']:.2f}",
                str(row["left_out"]),
            )
        )
    return lines


def combination(results):
    """Microseconds a case, against classes, specialists and top."""
    lines = speed_tables.header(
        "classes",
        "specialists",
        "top",
        "called a case",
        "at most",
        "us a case",
        "us, a batch's own slots",
        "us, log_softmax alone",
    )
    for row in _load(results, "specialists_combination.json")["rows"]:
        lines.append(
            speed_tables.row(
                f"{row['classes']:,}",
                f"{row['specialists']} of {row['set_size']}",
                str(row["top"]),
                f"{row['mean_active']:.1f}",
                str(row["most_active"]),
                f"{row['microseconds_combine']:,.0f}",
                f"{row['microseconds_trimmed']:,.0f}",
                f"{row['microseconds_log_softmax']:,.0f}",
            )
        )
    return lines


def ways(results):
    """Other ways to the same distribution."""
    lines = speed_tables.header(
        "way",
        "us a case",
        "us of its own steps",
        "steps, mean",
        "most",
        "argmax as kdtf's",
    )
    for row in _load(results, "specialists_combination.json")["ways"]:
        own = row.get("microseconds_of_own_steps")
        lines.append(
            speed_tables.row(
                row["way"],
                f"{row['microseconds']:,.0f}",
                "" if own is None else f"{own:,.0f}",
                "" if own is None else f"{row['mean_steps']:.0f}",
                "" if own is None else f"{row['most_steps']:,}",
                f"{row['same_argmax']:.1%}",
            )
        )
    return lines


def _load(results, name):
    return json.loads((results / name).read_text(encoding="utf-8"))
