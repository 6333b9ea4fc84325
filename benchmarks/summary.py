"""README's summary: a few lines for each result, from the same figures."""

import collections
import json

from benchmarks import arrays, timing
from trainers.mnist import figures, omitted

_PAGES = "docs/results"
_GIVEN = "kdtf, given teacher logits"


def lines(results):
    """Bullets on what the trainers found, speed, scale and faults.

    Args:
      results: `pathlib.Path` of the folder of result files.

    Returns:
      List of str, Markdown.
    """
    return [
        *_mnist(results),
        *_characters(results),
        *_speech(results),
        *_specialists(results),
        *_distill(results),
        *_speed(results),
        *_scale(results),
        *_faults(results),
    ]


def _mnist(results):
    table = _load(results, "mnist/metrics.json")["experiments"]["table"]
    missing = _load(results, "mnist_omitted/metrics.json")["experiments"]
    without_3 = missing[omitted.OMIT_3.name]
    errors = {name: f"{arm['mean']:.1f}" for name, arm in table["arms"].items()}
    paper = figures.PAPER_ERRORS
    ways = {
        name: 1 - way["omitted_errors"]["mean"] / without_3["omitted_cases"]
        for name, way in without_3["ways"].items()
    }
    return [
        f"- **[MNIST]({_PAGES}/mnist.md)**: of {table['cases']:,} test cases "
        f"the teacher gets {errors['teacher']} wrong, a small net on labels "
        f"{errors['student']}, the same net on soft targets alone "
        f"{errors['distilled']} (the paper: {paper['teacher']}, "
        f"{paper['student']}, {paper['distilled']}).",
        f"- Distillation keeps {_share(table['gain_transferred'])} of the "
        "teacher's advantage over the plain student.",
        f"- A student that [never saw a 3]({_PAGES}/mnist_omitted_digits.md) "
        f"gets {ways['none']:.1%} of them right, and {ways['prior']:.1%} with "
        "a bias chosen without labels.",
        _few_labels(results),
    ]


def _few_labels(results):
    found = _load(results, "mnist_few_labels/metrics.json")["experiments"]
    arms = {
        (arm["kind"], arm["share"]): arm for arm in found["few_labels"]["arms"]
    }
    some, every = arms["same", 0.3], arms["labels", 1.0]
    return (
        f"- Soft targets of [{some['share']:.0%} of the cases]"
        f"({_PAGES}/mnist_few_labels.md) make {some['mean']:.1f} errors, the "
        f"labels of all {every['mean']:.1f}; with labels of "
        f"{arms['labels', 0.03]['labelled']:,} cases there are "
        f"{arms['labels', 0.03]['mean']:.1f}, with their soft targets "
        f"{arms['same', 0.03]['mean']:.1f}."
    )


def _characters(results):
    found = _load(results, "characters/metrics.json")["experiments"]
    few, table = found["few"], found["table"]
    of_few, of_all = (
        {
            (arm["name"], arm.get("time")): f"{arm['accuracy']['mean']:.1%}"
            for arm in metrics["arms"]
        }
        for metrics in (few, table)
    )
    return [
        f"- **[Characters]({_PAGES}/characters.md)**: with "
        f"{few['drawings']} labelled drawings of each of "
        f"{few['classes']:,} handwritten characters a small convolutional net "
        f"gets {of_few['labels', None]} right, with soft targets on the same "
        f"drawings {of_few['distilled', None]} (teacher "
        f"{of_all['teacher', 'long']}).",
        "- With all drawings labelled, and training to the end, soft targets "
        f"add nothing: {of_all['labels', 'long']} and "
        f"{of_all['distilled', 'long']}.",
    ]


def _speech(results):
    experiments = _load(results, "speech/metrics.json")["experiments"]
    kept = experiments["ensemble"]["gain_kept"]["distilled"]
    others = _load(results, "speech_by_speaker/metrics.json")["experiments"]
    by_speaker = others["ensemble"]["gain_kept"]["distilled"]
    few = _load(results, "speech_few_clips/metrics.json")["experiments"]
    share, recovered = next(iter(few["small_data"]["recovered"].items()))
    nets = experiments["ensemble"]["systems"]["baseline"]["nets"]
    return [
        f"- **[Speech]({_PAGES}/speech.md)**: one acoustic model distilled "
        f"from {nets} keeps {_share(kept)} of what the ensemble gains in "
        "frame accuracy over a single net (the paper: 86%).",
        f"- With each speaker left out in turn it keeps {_share(by_speaker)}.",
        f"- With {float(share):.0%} of the clips, soft targets recover "
        f"{_share(recovered)} of the accuracy that labels lose (the paper: "
        "87%).",
    ]


def _distill(results):
    sound, table = (
        _load(results, f"distill_{name}/metrics.json")["experiments"]
        for name in ("spoken_digits", "breast_cancer")
    )
    rates, others = (
        {
            name: f"{net['accuracy']['mean']:.1%}"
            for name, net in found["comparison"]["nets"].items()
        }
        for found in (sound, table)
    )
    int8 = next(
        form["bytes"]
        for form in sound["costs"]["forms"]
        if form["form"] == "litert_int8"
    )
    cases = sound["comparison"]
    return [
        f"- **[Your own teacher]({_PAGES}/distill.md)**: of "
        f"{cases['train_cases']:,} spoken digits, "
        f"{cases['train_labelled']:,} of them with a label, a student of "
        f"{int8 / 1000:.0f} kB in int8 gets {rates['distilled']} of new ones "
        f"right; {rates['plain']} without its teacher, which gets "
        f"{rates['teacher']}.",
        "- On a table where distillation has nothing to give the page says "
        f"so: teacher {others['teacher']}, plain {others['plain']}, distilled "
        f"{others['distilled']}.",
    ]


def _specialists(results):
    path = "specialists/metrics.json"
    experiments = _load(results, path)["experiments"]
    found, back = experiments["table"], experiments["distilled"]
    systems = found["systems"]
    gain = found["tests"]["generalist"]["relative_gain"]
    ours, wide, two = (
        systems[name]["accuracy"]["mean"]
        for name in (
            "specialists, top 1",
            "wide",
            "ensemble of 2, geometric",
        )
    )
    labels, taught = (
        max(
            (s for s in back["students"] if ("soft" in s["name"]) == soft),
            key=lambda s: s["accuracy"]["mean"],
        )
        for soft in (False, True)
    )
    count = found["settings"]["specialists"]
    return [
        f"- **[Specialists]({_PAGES}/specialists.md)**: {count} specialists "
        f"for confusable classes raise a generalist of {found['classes']:,} "
        f"classes from {systems['generalist']['accuracy']['mean']:.1%} to "
        f"{ours:.1%}, {gain['mean']:+.1%} relative (the paper: +4.4%).",
        f"- In as many training FLOPs an ensemble of two reaches {two:.1%} and "
        f"a wide net {wide:.1%}.",
        f"- Distilled back into one net of {taught['units']} units, "
        f"{taught['gain_kept']['mean']:.0%} of the gain is kept; one of "
        f"{labels['units']} on labels alone, trained for as long, gains "
        f"{labels['gain_kept']['mean']:.0%} of it.",
    ]


def _speed(results):
    rows = _load(results, "train_step.json")["ratios"]
    ratios = {
        (each["size"].split(",")[0], each["against"]): each["median"]
        for each in rows
        if each["ours"] == _GIVEN and each["its_setting"] == "best"
    }
    large, small = dict.fromkeys(size for size, _ in ratios)
    peers = {
        "keras": "plain Keras `fit`, student alone",
        "torch": "PyTorch, eager loop, given teacher logits",
    }
    epochs = _load(results, "arrays.json")["sizes"]
    name, found = next(iter(epochs.items()))
    of_arrays = {
        (each["ours"], each["against"]): each["median"]
        for each in found["ratios"]
    }
    return [
        "- **[Arrays in memory](BENCHMARKS.md#arrays-in-memory)**, in default "
        f"settings, on two CPU cores: an epoch of {name.split(',')[0]} units "
        "on given logits takes "
        f"{of_arrays[_GIVEN, peers['keras']]:.2f} of the time of plain Keras "
        "`fit` of the student alone; with a live teacher "
        f"{of_arrays[arrays.ONLINE, arrays.KERAS]:.2f} of that of "
        "`keras.distillation`.",
        f"- **[Data sets](BENCHMARKS.md#time-of-a-step)**, at best: with "
        f"the teacher's logits given, a step of a {large} student takes "
        f"{ratios[large, peers['keras']]:.2f} of the time of plain Keras `fit` "
        "of the student alone.",
        f"- For a {small} student it takes "
        f"{ratios[small, peers['keras']]:.2f} of that time.",
        f"- Against an eager PyTorch loop it takes "
        f"{ratios[large, peers['torch']]:.2f} and "
        f"{ratios[small, peers['torch']]:.2f} of the time.",
    ]


def _scale(results):
    labelling = {
        row["workers"]: row for row in _load(results, "scale.json")["labelling"]
    }
    found = timing.ratio(labelling[1]["seconds"], labelling[2]["seconds"])
    return [
        f"- **[Several processes](docs/results/scale.md)**: two, on a core "
        f"each, label {found['median']:.2f} times as fast as one, and write "
        "the same bytes; replicas and workers train as one process does.",
    ]


def _faults(results):
    total = collections.Counter()
    for row in _load(results, "faults/faults.json")["rows"]:
        total.update(row["outcomes"])
    return [
        f"- **[Faults](BENCHMARKS.md#faults)**: of {total.total():,} kills, "
        "full disks and flipped bytes, at random moments of writing a store, "
        f"a trainer's run, an export and `fit`, {total['same']:,} changed "
        f"nothing in the end, {total['named']:,} were named in a sentence, "
        f"{total['unnamed']:,} ended in another package's error and "
        f"{total['lost']:,} passed unnoticed.",
    ]


def _share(figures):
    low, high = figures["ci95"]
    return f"{figures['mean']:.0%} ({low:.0%} to {high:.0%})"


def _load(results, name):
    return json.loads((results / name).read_text(encoding="utf-8"))
