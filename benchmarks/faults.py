"""What crashes, full disks and flipped bytes do to a store, a run, an export.

    python -m benchmarks.faults --faults=1000

strikes four tasks, each in processes of its own, with 1,000 faults in all,
about 40 minutes on two cores; `--only` picks some of the tasks:

    store    `SoftTargets.write`
    trainer  `python -m trainers.mnist --tiny --dataset=digits`
    export   `export_student` over an older export
    fit      `Distiller.fit` with a backup an epoch

Each is disturbed in three ways:

    signals       SIGKILL, SIGINT or SIGTERM at random moments of its CPU time
    full disk     nothing more can be written from such moments on
    flipped byte  in a random file that is finished; for `fit`, half finished

A signal or a full disk strikes up to three times before the task is run to its
end. What it then has is compared with what it has undisturbed, file by file:
arrays by their values, figures without times. After a flipped byte the store is
verified, the export loaded, and trainer and fit are run again. The outcome is

    same     as if undisturbed
    named    refused in a sentence that names the file or folder; after a full
             disk, and with room again, as if undisturbed
    lost     something else than undisturbed, and no error
    unnamed  an error of another package, a crash, or an endless wait

and counts for all faults of a trial. Stopped and started again, the benchmark
goes on; trial i of a task depends on `--seed` and i alone. Leave the checkout
as it is meanwhile: TensorFlow reads the sources of what it traces.
"""

import itertools
import json
import pathlib
import tempfile

import keras
from absl import app, flags

from benchmarks import fault_processes, fault_trials, timing
from benchmarks.fault_processes import LOST, OUTCOMES, UNNAMED
from benchmarks.fault_victims import VICTIMS
from trainers.core import run_directory

_TRIALS_BETWEEN_WRITES = 5


def measure(victims, faults, results, write):
    """Runs trials until enough faults have struck, the same number everywhere.

    Args:
      victims: dict from name to `fault_trials.Victim`.
      faults: int, in all.
      results: dict, the result file's; updated in place.
      write: function without arguments that keeps the results.
    """
    scenarios = [
        (name, kind) for kind in fault_trials.KINDS for name in victims
    ]
    share = -(-faults // len(scenarios))
    rows = [_row(results, *scenario) for scenario in scenarios]
    with tempfile.TemporaryDirectory() as folder:
        tasks = _prepared(victims, pathlib.Path(folder))
        bar = keras.utils.Progbar(share * len(rows), unit_name="fault")
        try:
            for trials in itertools.count(1):
                waiting = [row for row in rows if row["faults"] < share]
                if not waiting:
                    break
                # Evenly at any time, whenever it is stopped.
                row = min(waiting, key=lambda row: row["trials"])
                _add_trial(row, tasks[row["task"]], results["seed"])
                bar.update(sum(min(row["faults"], share) for row in rows))
                if trials % _TRIALS_BETWEEN_WRITES == 0:
                    write()
        finally:
            write()


def _prepared(victims, folder):
    """Dict from name to `fault_trials.Task`."""
    tasks = {}
    for name, victim in victims.items():
        print(f"{name}, undisturbed", flush=True)
        (folder / name).mkdir()
        tasks[name] = fault_trials.undisturbed(victim, folder / name)
    return tasks


def _row(results, name, kind):
    """The row of a task and a kind of fault, new or from an earlier run."""
    for row in results["rows"]:
        if (row["task"], row["disturbed_by"]) == (name, kind):
            return row
    row = {
        "task": name,
        "disturbed_by": kind,
        "trials": 0,
        "faults": 0,
        "cpu_seconds": 0.0,
        "outcomes": dict.fromkeys(OUTCOMES, 0),
        "failures": [],
    }
    results["rows"].append(row)
    return row


def _add_trial(row, task, seed):
    index, began = row["trials"], fault_processes.cpu_seconds()
    trial = fault_trials.run(task, row["disturbed_by"], index, seed)
    row["trials"] += 1
    row["faults"] += trial.faults
    row["outcomes"][trial.outcome] += trial.faults
    row["cpu_seconds"] += fault_processes.cpu_seconds() - began
    if trial.outcome in (LOST, UNNAMED):
        row["failures"].append(
            {"trial": index, "outcome": trial.outcome, "said": trial.said}
        )


def _opened(path, seed):
    """The results that an earlier run left, or new ones.

    Raises:
      app.UsageError: if they are of another seed or of other code.
    """
    results = {**timing.conditions("faults"), "seed": seed, "rows": []}
    if not path.exists():
        return results
    found = json.loads(path.read_text(encoding="utf-8"))
    for name in ("commit", "versions", "seed"):
        if found[name] != results[name]:
            raise app.UsageError(
                "--output must be a new file, or one of the same seed, commit "
                f"and versions, to go on. Received: --output={path} of {name} "
                f"{found[name]}, which now is {results[name]}"
            )
    return found


def main(argv):
    """Disturbs what `--only` names and writes the figures."""
    if len(argv) > 1:
        raise app.UsageError(f"Flags only, please. Received: {argv[1:]}")
    values = flags.FLAGS
    unknown = sorted(set(values.only) - VICTIMS.keys())
    if unknown or not values.only:
        raise app.UsageError(
            f"--only must be of {', '.join(VICTIMS)}. "
            f"Received: --only={','.join(values.only)}"
        )
    output = pathlib.Path(values.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    results = _opened(output, values.seed)
    victims = {name: VICTIMS[name] for name in VICTIMS if name in values.only}
    with tempfile.TemporaryDirectory(prefix="kdtf-faults-") as folder:
        # Killed processes cannot remove their temporary files.
        tempfile.tempdir = folder
        measure(
            victims,
            values.faults,
            results,
            lambda: run_directory.write_json(output, results),
        )
    for row in results["rows"]:
        print(f"{row['task']}, {row['disturbed_by']}: {row['outcomes']}")


if __name__ == "__main__":
    flags.DEFINE_integer("faults", 24, "how many, in all", lower_bound=1)
    flags.DEFINE_list("only", list(VICTIMS), "the tasks that are disturbed")
    flags.DEFINE_integer("seed", 0, "of all that is random")
    flags.DEFINE_string("output", "results/faults/faults.json", "the figures")
    app.run(main)
