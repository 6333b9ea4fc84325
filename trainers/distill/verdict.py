"""What a comparison means, in one paragraph of plain words.

It is made of the figures of `comparison` alone. A difference is beyond chance
if it is so in a paired test over test cases and, of several seeds, if the
interval of the mean over them lies on one side of zero: the first tells about
these nets on other cases, the second about nets of other seeds.
"""

from trainers.core import pages
from trainers.distill.evaluated import (
    DISTILLED,
    PLAIN,
    TEACHER,
    TITLES,
    interval,
    percent,
)

RATES = {"label": "accuracy", TEACHER: "agreement with the teacher"}

_LEVEL = 0.05  # of the tests
_FEW_SEEDS = 5
_FEW_CASES = 1000  # test cases
_FEW_LABELS = 100  # of a class
_FAR = 1.5  # times the teacher's errors
_RISES = 0.005  # of accuracy, in the last fifth of training
_KEEPS_LITTLE = 0.7  # of the teacher's advantage


def compared_cases(figures):
    """How many test cases nets are compared on."""
    if figures["reference"] == "label":
        return figures["labelled_cases"]
    return figures["cases"]


def situation(figures):
    """Which of the verdicts the figures call for.

    Args:
      figures: dict, what `comparison.measure` returned.

    Returns:
      "unknown" (nothing to compare with), "alone" (no plain student), "better",
      "worse" (the distilled student, beyond chance), "misled" (worse, by a
      teacher that is worse than the plain student), "unsure" (beyond chance
      over cases, but not over seeds), or, within noise: "poor_teacher" (worse
      than the plain student), "nothing_to_give" (no better), "noise".
    """
    gain = figures["gain"]
    if figures["reference"] is None:
        return "unknown"
    if gain is None:
        return "alone"
    if gain["p_value"] < _LEVEL:
        if not _is_of_all_seeds(gain):
            return "unsure"
        if gain["mean"] > 0:
            return "better"
        return "misled" if _teacher_lags(figures) else "worse"
    lead = figures["teacher_lead"]
    if lead is None:
        return "noise"
    if lead["p_value"] >= _LEVEL:
        return "nothing_to_give"
    return "poor_teacher" if _teacher_lags(figures) else "noise"


def _is_of_all_seeds(gain):
    low, high = gain["ci95"]
    return low is None or low > 0 or high < 0


def paragraph(figures):
    """The verdict: what was found, how sure that is, and what to try next."""
    said = [_rates(figures), _worth(figures), _difference(figures)]
    tips = advice(figures)
    if tips:
        said.append(f"What to try next: {'; '.join(tips)}.")
    return " ".join(sentence for sentence in said if sentence)


def _rates(figures):
    """How good the nets are."""
    nets, cases = figures["nets"], compared_cases(figures)
    if figures["reference"] is None:
        return (
            "Nothing tells how good the distilled student is: no test case has "
            "a label, and there is no teacher to ask."
        )
    key, says = "accuracy", "is right"
    if figures["reference"] == TEACHER:
        key, says = "agreement", "gives the teacher's answer"
    distilled = nets[DISTILLED][key]
    bounds, over = distilled["ci95"], f"{figures['seeds']} seeds"
    if None in bounds:
        bounds, over = distilled["ci95_cases"], "cases"
    said = (
        f"The distilled student {says} on {percent(distilled['mean'], cases)} "
        f"of {cases:,} test cases (95 % interval over {over} "
        f"{interval(bounds, cases)})"
    )
    others = [
        f"the {_SHORT[name]} on {percent(nets[name][key]['mean'], cases)}"
        for name in (PLAIN, TEACHER)
        if key in nets.get(name, {})
    ]
    return f"{', '.join([said, ' and '.join(others)][: 1 + bool(others)])}."


_SHORT = {PLAIN: "plain one", TEACHER: TITLES[TEACHER]}


def _worth(figures):
    """What the student keeps, and what it saves."""
    said = [*_kept(figures), *_savings(figures)]
    if not said:
        return ""
    *first, last = said
    return f"It {', '.join(first)}{' and ' * bool(first)}{last}."


def _kept(figures):
    gain = figures["gain"]
    share = gain and gain["transferred"]["mean"]
    # Of an advantage that may be chance, shares mean nothing.
    if share is None or not _teacher_leads(figures):
        return []
    if share < 0:
        return ["keeps nothing of the teacher's advantage"]
    if share > 1:
        return ["has all of the teacher's advantage over plain training"]
    return [f"keeps {share:.0%} of the teacher's advantage"]


def _teacher_leads(figures):
    lead = figures["teacher_lead"]
    return lead is not None and lead["mean"] > 0 and lead["p_value"] < _LEVEL


def _teacher_lags(figures):
    lead = figures["teacher_lead"]
    return lead is not None and lead["mean"] < 0 and lead["p_value"] < _LEVEL


def _savings(figures):
    """How much smaller and faster than its teacher the student is."""
    nets, speed = figures["nets"], figures["speed"]
    parameters = nets.get(TEACHER, {}).get("parameters")
    if not parameters:
        return []
    smaller = parameters / nets[DISTILLED]["parameters"]
    size = f"is {times(smaller)} smaller"
    if smaller < 1.05:
        size = "is no smaller than the teacher"
    said = [f"{size} ({nets[DISTILLED]['parameters']:,} parameters)"]
    if speed:
        faster = speed[DISTILLED] / speed[TEACHER]
        said.append("no faster" if faster < 1.1 else f"{times(faster)} faster")
    return said


def times(ratio):
    """A ratio as text, "6.2 times"."""
    return f"{ratio:.0f} times" if ratio >= 9.95 else f"{ratio:.1f} times"


def _difference(figures):
    """How sure the difference between the students is."""
    gain = figures["gain"]
    found = situation(figures)
    if gain is None:
        return _ALONE.get(found, "")
    points = f"{100 * gain['mean']:+.1f} points"
    test = f"paired over cases, {pages.p_value(gain)}"
    if found in ("better", "worse", "misled"):
        said = f"The difference of {points} is beyond chance ({test})"
        return f"{said}{_seeds_agree(figures)}: {_MEANING[found]}."
    if found == "unsure":
        return (
            f"The difference of {points} is beyond chance for these nets "
            f"({test}), but not over seeds: other seeds could turn it."
        )
    return (
        f"The difference of {points} from plain training is within noise "
        f"({test}){_MEANING.get(found, '')}."
    )


def _seeds_agree(figures):
    if figures["seeds"] > 1:
        return f" and holds over the {figures['seeds']} seeds"
    return ", though of one seed only"


_ALONE = {
    "alone": (
        "There is no plain student to compare with: training cases have no "
        "labels, so that the teacher's word is all there is to learn from."
    ),
}
_MEANING = {
    "better": "the distillation is worth it",
    "worse": "distillation does harm here, take the plain student",
    "misled": (
        "the teacher is worse than the plain student and does harm here; take "
        "the plain student"
    ),
    "poor_teacher": (
        ", and the teacher is worse than the plain student: it has nothing to "
        "teach it"
    ),
    "nothing_to_give": (
        ", and so is the teacher's: the plain student is as good as its "
        "teacher as far as these cases tell, and distillation has nothing to "
        "give"
    ),
}


def advice(figures):
    """What to try next, a list of clauses; empty where all is well."""
    found = situation(figures)
    return {
        "unknown": lambda figures: [_LABEL_SOME],
        "alone": _for_one_alone,
        "better": _for_better,
        "worse": lambda figures: [_OTHER_TARGETS, _TEACHERS_INPUT],
        "misled": lambda figures: [_TEACHERS_INPUT, _BETTER_TEACHER],
        "unsure": lambda figures: [_more_seeds(figures)],
        "poor_teacher": lambda figures: [_BETTER_TEACHER, _TEACHERS_INPUT],
        "nothing_to_give": _for_nothing_to_give,
        "noise": _for_noise,
    }[found](figures)


_LABEL_SOME = "label some hundred test cases, to know how many are right"
_OTHER_TARGETS = (
    "another temperature or a smaller weight of the soft targets, chosen on "
    "held-out cases (--temperatures=1,2,4,8 --soft_weights=0.3,0.6,0.9)"
)
_TEACHERS_INPUT = (
    "see that the teacher gets the input that it was trained on (its "
    "preprocessing) and has its classes in the order of --data (of folders "
    "alphabetical)"
)
_BETTER_TEACHER = (
    "a better teacher, or an ensemble of several (--teacher=a.keras,b.keras)"
)
_MORE_CASES = "more test cases (few of them tell large differences only)"
_WIDER = "a wider student ({} far from the teacher)"
_LONGER = "longer training (held-out accuracy still rises at its end)"


def _for_one_alone(figures):
    if figures["reference"] == TEACHER:
        return [_LABEL_SOME]
    return _closer(figures)


def _for_better(figures):
    share = figures["gain"]["transferred"]["mean"]
    tips = [_more_seeds(figures)] if figures["seeds"] < 2 else []
    if _is_close(figures):
        tips.append(
            "an even smaller student (this one is as good as its teacher as "
            "far as these cases tell)"
        )
    elif share is not None and share < _KEEPS_LITTLE:
        tips += _closer(figures)
    return tips


def _is_close(figures):
    behind = figures["behind_teacher"]
    return behind is not None and behind["p_value"] >= _LEVEL


def _closer(figures):
    """What brings a student closer to its teacher."""
    tips = []
    if _rises(figures, DISTILLED):
        tips.append(_LONGER)
    if _is_far(figures, DISTILLED):
        tips.append(_WIDER.format("this one is"))
    return tips


def _for_nothing_to_give(figures):
    tips = ["take the plain student", "distil into a smaller one"]
    if compared_cases(figures) < _FEW_CASES:
        tips.append(_MORE_CASES)
    return [*tips, _BETTER_TEACHER]


def _for_noise(figures):
    tips = []
    if figures["seeds"] < _FEW_SEEDS:
        tips.append(_more_seeds(figures))
    if compared_cases(figures) < _FEW_CASES:
        tips.append(_MORE_CASES)
    if _rises(figures, PLAIN) or _rises(figures, DISTILLED):
        tips.append(_LONGER)
    tips.append(_OTHER_TARGETS.replace("a smaller", "another"))
    if _is_far(figures, PLAIN) and _is_far(figures, DISTILLED):
        tips.append(_WIDER.format("both students are"))
    if figures["train_labelled"] < _FEW_LABELS * figures["classes"]:
        tips.append(
            "more cases without labels (--unlabelled_data), if there are any "
            f"to be had: {figures['train_labelled']:,} labelled ones are few, "
            "and the teacher's word is all that distillation needs"
        )
    return tips


def _more_seeds(figures):
    return f"more seeds (--seeds={max(3, figures['seeds'] + 2)})"


def _is_far(figures, name):
    """Whether a net makes many more errors than the teacher."""
    nets = figures["nets"]
    if "accuracy" not in nets.get(TEACHER, {}):
        return False
    errors, teachers = (
        1 - nets[n]["accuracy"]["mean"] for n in (name, TEACHER)
    )
    return errors > _FAR * teachers


def _rises(figures, name):
    """Whether held-out accuracy is still rising where training ends."""
    curves = [
        [point["held_out_accuracy"] for point in curve]
        for curve in figures["nets"][name]["curves"]
        if all("held_out_accuracy" in point for point in curve)
    ]
    rises = []
    for curve in curves:
        fifth = len(curve) // 5
        if fifth:
            last, before = curve[-fifth:], curve[-2 * fifth : -fifth]
            rises.append(sum(last) / fifth - sum(before) / fifth)
    return bool(rises) and sum(rises) / len(rises) > _RISES
