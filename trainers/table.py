"""The paper's table: a teacher, a student on labels, a distilled student."""

import kdtf
from trainers import arms, common, evaluation, recipes, report


def run(
    settings, data, run_dir, *, seeds, checkpoint_every, teachers_from=None
):
    """Runs the experiment, or what is left of it, and writes its results.

    Args:
      settings: `Settings`.
      data: `trainers.data.ImageData`.
      run_dir: `pathlib.Path` of an opened run directory.
      seeds: int; seeds 0 to seeds - 1 are run.
      checkpoint_every: int, epochs between two checkpoints.
      teachers_from: `pathlib.Path` of another run directory, whose teachers
        and soft targets are taken; None to train and store them here.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    all_arms = recipes.arms_of(settings)
    by_seed = [
        _train_seed(
            settings, data, run_dir, seed, checkpoint_every, teachers_from
        )
        for seed in range(seeds)
    ]
    results = {name: [r[name] for r in by_seed] for name in evaluation.ARMS}
    metrics = evaluation.summarise(results, data, all_arms, settings.dataset)
    common.write_json(run_dir / "metrics.json", metrics)
    report.write(run_dir, metrics)
    kdtf.export_student(
        results["distilled"][0].net,
        run_dir / "export",
        class_names=[str(digit) for digit in range(data.classes)],
        overwrite=True,
    )
    return metrics


def _train_seed(settings, data, run_dir, seed, checkpoint_every, teachers_from):
    """Dict from arm name to its `arms.Result` of one seed."""
    all_arms = recipes.arms_of(settings)
    teacher, soft_targets = recipes.teacher_and_soft_targets(
        settings, data, run_dir, seed, checkpoint_every, teachers_from
    )

    def train(name, soft_targets=None):
        return arms.train(
            all_arms[name],
            data,
            seed,
            run_dir / f"seed{seed}" / name,
            soft_targets=soft_targets,
            checkpoint_every=checkpoint_every,
        )

    return {
        "teacher": teacher,
        "student": train("student"),
        "distilled": train("distilled", soft_targets),
    }
