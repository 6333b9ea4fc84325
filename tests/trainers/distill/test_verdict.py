"""trainers.distill.verdict: what is said in each situation."""

import pytest

from trainers.distill import verdict


def rate(mean, *, seeds=3, half=0.01):
    """A rate whose interval is as wide as that."""
    if seeds == 1:
        return {
            "each": [mean],
            "mean": mean,
            "ci95": [None, None],
            "ci95_cases": [mean - half, mean + half],
        }
    ci95 = [mean - half, mean + half]
    return {"each": [mean] * seeds, "mean": mean, "ci95": ci95}


def flat(last=0.9):
    """A curve of ten epochs at rest, but for the last two."""
    values = [0.9] * 8 + [last] * 2
    return [
        {"epoch": i + 1, "held_out_accuracy": v} for i, v in enumerate(values)
    ]


def figures(
    *,
    teacher=0.96,
    plain=0.90,
    distilled=0.936,
    p=0.001,
    half=0.01,
    lead_p=0.001,
    behind_p=0.001,
    seeds=3,
    cases=2000,
    train_labelled=5000,
    curve=None,
):
    """What `comparison.measure` would return, of rates."""
    gain = distilled - plain
    share = (gain / (teacher - plain)) if teacher and teacher > plain else None
    bounds = [None, None] if seeds == 1 else [gain - half, gain + half]
    students = {
        name: {
            "accuracy": rate(mean, seeds=seeds),
            "parameters": 210_000,
            "curves": [curve or flat()],
        }
        for name, mean in (("plain", plain), ("distilled", distilled))
    }
    nets = dict(students)
    if teacher:
        nets["teacher"] = {
            "accuracy": rate(teacher, seeds=1),
            "parameters": 2_310_000,
        }
    return {
        "seeds": seeds,
        "cases": cases,
        "labelled_cases": cases,
        "classes": 10,
        "train_cases": 5000,
        "train_labelled": train_labelled,
        "reference": "label",
        "nets": nets,
        "gain": {
            "mean": gain,
            "ci95": bounds,
            "p_value": p,
            "transferred": {"mean": share, "ci95": [None, None]},
        },
        "teacher_lead": teacher
        and {"mean": teacher - plain, "p_value": lead_p},
        "behind_teacher": teacher
        and {"mean": teacher - distilled, "p_value": behind_p},
        "speed": {"distilled": 600.0, "teacher": 100.0} if teacher else {},
    }


def test_a_gain_beyond_chance():
    found = figures()
    assert verdict.situation(found) == "better"
    # 3.6 of 6 points are kept; 231 / 21 times as small; 600 / 100 as fast. The
    # student's errors, 6.4 %, are more than 1.5 times the teacher's 4 %.
    assert verdict.paragraph(found) == (
        "The distilled student is right on 93.6% of 2,000 test cases (95 % "
        "interval over 3 seeds 92.6% to 94.6%), the plain one on 90.0% and the "
        "teacher on 96.0%. It keeps 60% of the teacher's advantage, is 11 "
        "times smaller (210,000 parameters) and 6.0 times faster. The "
        "difference of +3.6 points is beyond chance (paired over cases, p = "
        "0.001) and holds over the 3 seeds: the distillation is worth it. What "
        "to try next: a wider student (this one is far from the teacher)."
    )


def test_a_student_as_good_as_its_teacher():
    found = figures(distilled=0.961, behind_p=0.8)
    assert verdict.situation(found) == "better"
    said = verdict.paragraph(found)
    assert "It has all of the teacher's advantage over plain training" in said
    assert "an even smaller student" in said


def test_all_is_well():
    found = figures(distilled=0.95)
    assert verdict.advice(found) == []
    assert verdict.paragraph(found).endswith("the distillation is worth it.")


def test_a_gain_of_one_seed():
    found = figures(seeds=1, distilled=0.95)
    assert verdict.situation(found) == "better"
    said = verdict.paragraph(found)
    assert "95 % interval over cases 94.0% to 96.0%" in said
    assert "though of one seed only" in said
    assert verdict.advice(found) == ["more seeds (--seeds=3)"]


def test_a_gain_that_seeds_may_turn():
    found = figures(half=0.05)  # the interval over seeds holds zero
    assert verdict.situation(found) == "unsure"
    assert "but not over seeds: other seeds could turn it" in verdict.paragraph(
        found
    )
    assert verdict.advice(found) == ["more seeds (--seeds=5)"]


def test_harm():
    found = figures(distilled=0.87)
    assert verdict.situation(found) == "worse"
    said = verdict.paragraph(found)
    assert "It keeps nothing of the teacher's advantage" in said
    assert "The difference of -3.0 points is beyond chance" in said
    assert "take the plain student" in said
    assert "--soft_weights" in said


def test_harm_by_a_teacher_that_is_worse():
    """As of one whose classes are in another order."""
    found = figures(teacher=0.08, distilled=0.3)
    assert verdict.situation(found) == "misled"
    said = verdict.paragraph(found)
    assert "the teacher is worse than the plain student and does harm" in said
    assert "its classes in the order of --data (of folders alphab" in said
    assert "--temperatures" not in said
    # A teacher that may be as good is not to blame, nor one that is not known.
    for same in (
        figures(teacher=0.89, distilled=0.8, lead_p=0.2),
        figures(teacher=None, distilled=0.8),
    ):
        assert verdict.situation(same) == "worse"


def test_noise_near_the_teacher():
    found = figures(distilled=0.905, plain=0.9, p=0.4, teacher=0.93)
    assert verdict.situation(found) == "noise"
    assert "is within noise (paired over cases, p = 0.4)." in verdict.paragraph(
        found
    )
    tips = verdict.advice(found)
    # Errors of 10 and 9.5 % are less than 1.5 times the teacher's 7 %.
    assert [tip.split()[0] for tip in tips] == ["more", "another"]


def test_noise_far_from_the_teacher_with_few_labels():
    found = figures(
        distilled=0.905,
        p=0.4,
        cases=500,
        train_labelled=200,
        seeds=6,
        curve=flat(0.92),
    )
    tips = verdict.advice(found)
    assert tips[0].startswith("more test cases")
    assert tips[1].startswith("longer training")
    assert tips[2].startswith("another temperature or another weight")
    assert tips[3] == "a wider student (both students are far from the teacher)"
    assert tips[4].startswith("more cases without labels (--unlabelled_data)")
    assert "200 labelled ones are few" in tips[4]
    assert len(tips) == 5


def test_a_teacher_that_is_worse():
    found = figures(teacher=0.85, distilled=0.9, p=0.9)
    assert verdict.situation(found) == "poor_teacher"
    said = verdict.paragraph(found)
    assert "the teacher is worse than the plain student" in said
    assert "an ensemble of several" in said
    assert "advantage" not in said


def test_nothing_to_give():
    found = figures(teacher=0.903, distilled=0.902, p=0.7, lead_p=0.6)
    assert verdict.situation(found) == "nothing_to_give"
    said = verdict.paragraph(found)
    assert "distillation has nothing to give" in said
    assert "advantage" not in said  # a share of noise
    assert "distil into a smaller one" in said


def test_stored_targets_alone():
    found = figures(teacher=None)
    assert verdict.situation(found) == "better"
    said = verdict.paragraph(found)
    assert "the plain one on 90.0%. The difference" in said
    assert "smaller" not in said
    found["gain"]["p_value"] = 0.3
    assert verdict.situation(found) == "noise"


def unlabelled():
    """Figures of a run without any label."""
    found = figures()
    del found["nets"]["plain"]
    for net in found["nets"].values():
        net["agreement"] = net.pop("accuracy")
    del found["nets"]["teacher"]["agreement"]
    none = dict.fromkeys(("gain", "teacher_lead", "behind_teacher"))
    return found | none | {"reference": "teacher"}


def test_without_labels():
    found = unlabelled()
    assert verdict.situation(found) == "alone"
    said = verdict.paragraph(found)
    assert said.startswith(
        "The distilled student gives the teacher's answer on 93.6% of 2,000 "
        "test cases (95 % interval over 3 seeds 92.6% to 94.6%). It is 11 "
        "times smaller"
    )
    assert "There is no plain student to compare with" in said
    assert "label some hundred test cases" in said


def test_without_labels_and_teacher():
    found = unlabelled() | {"reference": None}
    assert verdict.situation(found) == "unknown"
    assert verdict.paragraph(found).startswith("Nothing tells how good")


@pytest.mark.parametrize(
    ("teachers", "speed", "said"),
    [
        (210_000, 150.0, "It keeps 60% of the teacher's advantage, is no "
         "smaller than the teacher (210,000 parameters) and 1.5 times faster."),
        (2_310_000, 90.0, "is 11 times smaller (210,000 parameters) and no "
         "faster."),
    ],
)  # fmt: skip
def test_a_student_that_saves_little(teachers, speed, said):
    found = figures()
    found["nets"]["teacher"]["parameters"] = teachers
    found["speed"] = {"teacher": 100.0, "distilled": speed}
    assert said in verdict.paragraph(found)


def test_a_teacher_that_cannot_be_timed():
    found = figures() | {"speed": {}}
    assert (
        "It keeps 60% of the teacher's advantage and is 11 times smaller "
        "(210,000 parameters)."
    ) in verdict.paragraph(found)


def test_ratios():
    assert verdict.times(9.94) == "9.9 times"
    assert verdict.times(9.96) == "10 times"
