"""How good can the small net get, whatever teaches it?

`consistent` with what the paper did not have: the teachers are convolutional
nets, images are warped, too (Simard et al. 2003), and the student is trained
for longer. Its own layers are the paper's. Beside it, the same net on labels,
with the same images in as many updates.
"""

from trainers.core import pages
from trainers.mnist import consistent, evaluation, recipes
from trainers.mnist.consistent import findings, table

__all__ = ["TITLE", "details", "findings", "introduction", "measure", "table"]

TITLE = "Taught by convolutional nets"
LABELS, TAUGHT = "labels, warped", "convolutional teachers, warped"


def arms_of(settings):
    """Dict from what a reader calls an arm to the arm."""
    return {
        LABELS: recipes.warped_student(settings),
        TAUGHT: recipes.warped_distilled(settings),
    }


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.mnist.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    return {
        **evaluation.about(run),
        **evaluation.summarise_taught(
            run, arms_of(run.settings), against=LABELS, teachers_of=TAUGHT
        ),
    }


def introduction(metrics):
    """What is shown, a string."""
    settings = metrics["settings"]
    return (
        f"{settings['consistent_members']} convolutional nets, "
        f"{settings['convolutional_epochs']} epochs each, teach together. The "
        f"students, 2 x {settings['student_units']} units, learn for "
        f"{settings['patient_epochs']} epochs. Images are moved by up to "
        f"{settings['jitter']:g} pixels, and smoothly elsewhere (standard "
        f"deviation in pixels: {settings['warp']:g}). The soft targets are "
        "those of the image as it was moved."
    )


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            "convolutional",
            consistent.plot(metrics),
            "Errors against the epoch, warped images",
        ),
    )
