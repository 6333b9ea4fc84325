"""The nets of a run on its test cases: who chooses what, and who is wrong."""

import dataclasses

import numpy as np

TEACHER, PLAIN, DISTILLED = "teacher", "plain", "distilled"
TITLES = {
    TEACHER: "teacher",
    PLAIN: "plain student",
    DISTILLED: "distilled student",
}
# Names of `trainers.core.plots.COLOURS`.
COLOURS = {TEACHER: "teacher", PLAIN: "student", DISTILLED: "distilled"}


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Logits on test cases, and labels.

    Attributes:
      logits: dict from net to a list of `[cases, classes]` arrays, one a seed;
        of the teacher, if there is one, a single array.
      labels: `[cases]` int array; -1 where there is no label.
    """

    logits: dict[str, list[np.ndarray]]
    labels: np.ndarray

    @property
    def labelled(self):
        """`[cases]` bool: which cases have a label."""
        return self.labels >= 0

    @property
    def reference(self):
        """What nets are compared with: "label", "teacher", or None."""
        if self.labelled.any():
            return "label"
        return TEACHER if TEACHER in self.logits else None

    @property
    def students(self):
        """Names of the nets that are no teacher."""
        return tuple(name for name in self.logits if name != TEACHER)

    def choices(self, name):
        """`[seeds, cases]` int: the class that each net of a name chooses."""
        return np.stack([z.argmax(-1) for z in self.logits[name]])

    def wrong(self, name):
        """`[seeds, labelled cases]` bool: where a net is not right."""
        own = self.labelled
        return self.choices(name)[:, own] != self.labels[own]

    def differs(self, name):
        """`[seeds, cases]` bool: where the teacher chooses otherwise.

        All test cases count, with a label or without.
        """
        return self.choices(name) != self.choices(TEACHER)

    def missed(self, name):
        """`wrong` where there are labels, else `differs`."""
        if self.reference == "label":
            return self.wrong(name)
        return self.differs(name)

    def on_labelled(self, name):
        """A list of `[labelled cases, classes]` logits, one a seed."""
        own = self.labelled
        return [z[own] for z in self.logits[name]]


def of(run):
    """`Evaluated` of a `run.Run`."""
    logits = {}
    teacher = run.teacher_logits()
    if teacher is not None:
        logits[TEACHER] = [teacher]
    for name in run.names:
        logits[name] = [r.eval_logits for r in run.results(name)]
    return Evaluated(logits, np.asarray(run.labels))


def percent(share, cases=1000):
    """A share of cases as text, with as many digits as they tell."""
    return f"{share:.1%}" if cases < 10_000 else f"{share:.2%}"


def interval(bounds, cases=1000):
    """`[low, high]`, shares, as text; a dash for None."""
    if None in bounds:
        return "-"
    low, high = (percent(b, cases) for b in bounds)
    return f"{low} to {high}"
