"""An ensemble against one distilled net (paper, section 4)."""

import functools

from trainers.core import run_directory, statistics, strategies
from trainers.speech import (
    ensemble_report,
    recipes,
    scores,
    serving,
    utterance,
    utterances,
)
from trainers.speech.about import about

TITLE = "An ensemble of acoustic nets, and one distilled from it"
SYSTEMS = ("baseline", "ensemble", "distilled", "control")
_STUDENTS = ("distilled", "control")

table = ensemble_report.table
findings = ensemble_report.findings
details = ensemble_report.details


def measure(run):
    """Trains what is missing, and exports the distilled student.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    run.train_at_once([recipes.member(run.settings)], run.settings.members)
    run.train_at_once([getattr(recipes, n)(run.settings) for n in _STUDENTS])
    run.train_at_once(list(recipes.sweep(run.settings).values()), 1)
    folds = [_Measured(fold, run) for fold in run.folds]
    pooled = {
        name: scores.pool([fold.scores[name] for fold in folds])
        for name in SYSTEMS
    }
    first = folds[0]
    strategies.on_chief(
        lambda: serving.export(
            first.nets["distilled"][0],
            first.fold.corpus,
            run.directory / run_directory.EXPORT,
            penalty=scores.penalty_of(
                first.chosen["distilled"], "connected, clean"
            ),
        )
    )
    return {
        **about(run),
        **summarise(pooled),
        "folds": {
            fold.fold.corpus.name: {
                **summarise(fold.scores),
                "chosen": fold.chosen,
            }
            for fold in folds
        },
        "sweep": _sweep(run, folds, pooled),
        "curves": first.curves,
        "utterance": utterance.pick(first.nets, first.fold),
    }


def summarise(systems):
    """The figures of the systems, and their comparison.

    Args:
      systems: dict from system to `scores.Scores`.

    Returns:
      Dict.
    """
    wrong = {name: systems[name].wrong for name in SYSTEMS}

    def gain(base, student):
        share, interval = statistics.share_of_gain(
            wrong[base], wrong["ensemble"], wrong[student]
        )
        return {"mean": share, "ci95": interval}

    return {
        "systems": {n: scores.summarise(s) for n, s in systems.items()},
        "gain_kept": {
            "distilled": gain("baseline", "distilled"),
            "control": gain("baseline", "control"),
            "distilled_over_control": gain("control", "distilled"),
        },
        "word_tests": scores.compare_words(
            systems["distilled"], systems["ensemble"]
        ),
    }


class _Measured:
    """The systems of a fold, and their scores.

    Attributes:
      fold: `run.Fold`.
      nets: dict from system to a list of nets.
      curves: dict from system to a list of learning curves.
      scores: dict from system to `scores.Scores`.
      chosen: dict from system to how its word penalties were chosen, see
        `scores.with_words`.
    """

    def __init__(self, fold, run):
        self.fold = fold
        results = {"baseline": fold.members}
        for name in _STUDENTS:
            arm = getattr(recipes, name)(run.settings)
            results[name] = [fold.train(arm, seed) for seed in range(run.seeds)]
        self.nets = {n: [r.net for r in rs] for n, rs in results.items()}
        self.nets["ensemble"] = [fold.ensemble]
        self.curves = {n: [r.curve for r in rs] for n, rs in results.items()}
        self._snrs = run.snrs
        measured = {name: self._measure(name) for name in SYSTEMS}
        self.scores = {name: found[0] for name, found in measured.items()}
        self.chosen = {name: found[1] for name, found in measured.items()}

    def _measure(self, name):
        """`(scores.Scores, chosen)` of a system, stored where they are not.

        Decoding takes longer than all else that a finished run does.
        """
        nets, corpus = self.nets[name], self.fold.corpus
        file_name = f"{name}-{scores.fingerprint(nets)}.json"
        path = self.fold.directory / "scores" / file_name
        if not strategies.on_chief(path.exists):
            found = scores.with_words(
                scores.of_frames(nets, corpus), nets, corpus, *self._words
            )
            strategies.on_chief(lambda: scores.write(path, *found))
        return scores.read(path)

    @functools.cached_property
    def _words(self):
        """What is recognised: test conditions, and held-out strings."""
        corpus, snrs = self.fold.corpus, self._snrs
        return (
            utterances.conditions(corpus, "test", snrs),
            utterances.conditions(corpus, "held_out", snrs, isolated=False),
        )


def _sweep(run, folds, pooled):
    """Students at every temperature under both readings of the weight."""
    arms = recipes.sweep(run.settings)
    # Fold by fold: all arms learn from one transfer set.
    by_fold = [
        [
            scores.of_frames([m.fold.train(arm, 0).net], m.fold.corpus)
            for arm in arms.values()
        ]
        for m in folds
    ]
    found = []
    for i, ((reading, temperature), arm) in enumerate(arms.items()):
        student = scores.pool([students[i] for students in by_fold])
        systems = (pooled["baseline"], pooled["ensemble"], student)
        share, interval = statistics.share_of_gain(*(s.wrong for s in systems))
        held_out = [float(s.held_out_accuracy.mean()) for s in systems]
        found.append(
            {
                "reading": reading,
                "temperature": temperature,
                "soft_weight": arm.soft_weight,
                "hard_weight": arm.hard_weight,
                "epochs": arm.epochs,
                **scores.summarise(student),
                "gain_kept": {"mean": share, "ci95": interval},
                # Of the gain on held-out clips, by which T may be chosen.
                "held_out_gain_kept": _ratio(*held_out),
            }
        )
    return found


def _ratio(base, teacher, student):
    return (student - base) / (teacher - base) if teacher > base else None
