"""kdtf and `keras.distillation` on the same logits, nets and data.

    python -m benchmarks.peer_comparison

measures the table that compares the two, within seconds on any machine. Every
cell is what the library did here; nothing is quoted. The first column is the
right answer, derived in float64 or from what Keras's own `Model.fit` does.
"""

import os
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import libraries
from trainers.core import run_directory

TEMPERATURE = 3.0
FEATURES, CLASSES, CASES = 20, 10, 32


def main(argv):
    """Runs all probes and writes the table."""
    del argv
    rows = []
    for probe in PROBES:
        title, truth, measure = probe()
        cells = {lib.name: measure(lib) for lib in libraries.ALL}
        rows.append({"what": title, "right": truth, "measured": cells})
        print(f"{title}\n  right: {truth}")
        for name, cell in cells.items():
            print(f"  {name}: {cell}")
    run_directory.write_json(
        pathlib.Path(flags.FLAGS.output),
        {
            "benchmark": "peer_comparison",
            "commit": run_directory.commit(),
            "versions": run_directory.versions(),
            "rows": rows,
        },
    )


# --- nets and data -----------------------------------------------------------


def _net(seed, width=16, **dense_arguments):
    def dense(units, offset, activation=None):
        return keras.layers.Dense(
            units,
            activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed + offset),
            **dense_arguments,
        )

    return keras.Sequential(
        [
            keras.Input((FEATURES,), dtype="float32"),
            dense(width, 0, "relu"),
            keras.layers.Dropout(0.2, seed=seed),
            dense(CLASSES, 1),
        ]
    )


def _data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(CASES, FEATURES)).astype(np.float32)
    return x, rng.integers(0, CLASSES, CASES).astype(np.int32)


def _compiled(library, *, teacher_width=16, **dense_arguments):
    distiller = library.distiller(
        _net(0, **dense_arguments), _net(7, teacher_width), TEMPERATURE
    )
    library.compile(distiller, keras.optimizers.Adam(0.01))
    return distiller


def _logits(scale, offset=0.0):
    rng = np.random.default_rng(1)
    z, v = rng.normal(size=(2, 8, 10)) * scale + offset
    return z.astype(np.float32), v.astype(np.float32)


# --- the truth, in float64 ---------------------------------------------------


def _log_softmax(logits):
    scaled = logits.astype(np.float64) / TEMPERATURE
    scaled -= scaled.max(-1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(-1, keepdims=True))


def _true_soft_term(z, v):
    log_p, log_q = _log_softmax(v), _log_softmax(z)
    rows = (np.exp(log_p) * (log_p - log_q)).sum(-1)
    return TEMPERATURE**2 * rows.mean()


def _true_gradient(z, v):
    gap = np.exp(_log_softmax(z)) - np.exp(_log_softmax(v))
    return TEMPERATURE * gap / len(z)


# --- probes: (title, right answer, library -> what it did) -------------------


def _value(title, z, v):
    def measure(library):
        return f"{float(library.soft_term(z, v, TEMPERATURE)):.4g}"

    return title, f"{_true_soft_term(z, v):.4g}", measure


def ordinary_loss():
    return _value("T^2 KL of ordinary logits, T = 3", *_logits(3.0))


def shifted_loss():
    _, v = _logits(3.0)
    return _value("the same, student = teacher + 5", v + 5, v)


def large_loss():
    return _value("the same, logits of about 300", *_logits(300.0))


def _gradient(title, z, v):
    truth = _true_gradient(z, v)

    def measure(library):
        logits = tf.constant(z)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = library.soft_term(logits, tf.constant(v), TEMPERATURE)
        error = np.abs(tape.gradient(value, logits) - truth).max()
        return f"{error / np.abs(truth).max():.1e}"

    return title, "0", measure


def gradient_error():
    return _gradient(
        "largest error of its gradient (share of the largest entry)",
        *_logits(3.0),
    )


def gradient_error_on_large_logits():
    return _gradient("the same, logits of about 300", *_logits(300.0))


def gradient_error_close_to_the_teacher():
    _, v = _logits(3.0)
    z = v + np.random.default_rng(2).normal(size=v.shape).astype("f") * 1e-3
    return _gradient("the same, student within 0.001 of the teacher", z, v)


def _first_loss(distiller, **fit_arguments):
    x, y = _data()
    history = distiller.fit(
        x,
        y,
        batch_size=CASES,
        shuffle=False,
        verbose=0,
        **fit_arguments,
    ).history
    return history["loss" if "loss" in history else "total_loss"][0]


def _ratio(title, truth, plain, changed):
    def measure(library):
        before = plain(library)
        try:
            return f"{changed(library) / before:.3f}"
        except Exception as error:
            return f"raises {type(error).__name__}"

    return title, truth, measure


def sample_weight():
    return _ratio(
        "loss under sample_weight 2, as a multiple",
        "2.000",
        lambda library: _first_loss(_compiled(library)),
        lambda library: _first_loss(
            _compiled(library), sample_weight=np.full(CASES, 2.0)
        ),
    )


def class_weight():
    return _ratio(
        "loss under class_weight 2 for every class, as a multiple",
        "2.000",
        lambda library: _first_loss(_compiled(library)),
        lambda library: _first_loss(
            _compiled(library), class_weight=dict.fromkeys(range(CLASSES), 2.0)
        ),
    )


def regulariser():
    """How far the gradient of an L2 penalty moves the weights."""
    decay = 0.5

    def measure(library):
        moved = []
        for strength in (0.0, decay):
            distiller = library.distiller(
                _net(0, kernel_regularizer=keras.regularizers.L2(strength)),
                _net(7),
                TEMPERATURE,
            )
            library.compile(distiller, keras.optimizers.SGD(0.1))
            before = np.array(distiller.student.weights[0])
            x, y = _data()
            distiller.fit(x, y, batch_size=CASES, shuffle=False, verbose=0)
            moved.append(np.array(distiller.student.weights[0]) - before)
        pull = -0.1 * 2 * decay * before  # the penalty's share of the SGD step
        return f"{((moved[1] - moved[0]) * pull).sum() / (pull**2).sum():.3f}"

    return "share of an L2 regulariser's gradient applied", "1.000", measure


def _train(distiller, epochs):
    x, y = _data()
    distiller.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)


def resume():
    """Two epochs, saved and loaded, two more, against four without a stop."""

    def measure(library):
        whole = _compiled(library)
        _train(whole, 4)
        first = _compiled(library)
        _train(first, 2)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "distiller.keras")
            first.save(path)
            try:
                second = keras.saving.load_model(path)
                if hasattr(second, "set_teacher"):
                    second.set_teacher(_net(7))
                _train(second, 2)
            except Exception as error:
                return f"raises {type(error).__name__}"
        gap = [
            np.abs(np.array(a) - np.array(b)).max()
            for a, b in zip(
                whole.student.weights, second.student.weights, strict=True
            )
        ]
        return f"differs by {max(gap):.1g}" if max(gap) else "the same weights"

    title = "saved, loaded and trained on, against never stopped"
    return title, "the same weights", measure


def saved_size():
    """Size on disk with a big teacher over that with a small one."""

    def size(library, teacher_width):
        distiller = _compiled(library, teacher_width=teacher_width)
        _train(distiller, 1)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "distiller.keras")
            distiller.save(path)
            return os.path.getsize(path)

    return _ratio(
        "size of the saved distiller when the teacher is 100 x as wide",
        "1.000",
        lambda library: size(library, 16),
        lambda library: size(library, 1600),
    )


def _outcome(title, truth, attempt):
    def measure(library):
        try:
            return attempt(library)
        except Exception as error:
            return f"raises {type(error).__name__}"

    return title, truth, measure


def mixed_precision():
    def attempt(library):
        distiller = library.distiller(
            _net(0, dtype="mixed_float16"), _net(7), TEMPERATURE
        )
        library.compile(distiller, keras.optimizers.Adam(0.01))
        return "trains" if np.isfinite(_first_loss(distiller)) else "NaN"

    title = "float32 teacher, mixed_float16 student"
    return _outcome(title, "trains", attempt)


def callers_teacher():
    def attempt(library):
        teacher = _net(7)
        library.distiller(_net(0), teacher, TEMPERATURE)
        return str(teacher.trainable)

    title = "`trainable` of the caller's teacher afterwards"
    return _outcome(title, "True", attempt)


def unlabelled_rows():
    def attempt(library):
        distiller = _compiled(library)
        x, y = _data()
        y[::2] = -1
        distiller.fit(x, y, verbose=0)
        weights = np.concatenate(
            [np.ravel(w) for w in distiller.student.weights]
        )
        return "trains" if np.isfinite(weights).all() else "NaN weights"

    return _outcome("half of the labels unknown (-1)", "trains", attempt)


def _net_of_blocks(seed, width=16):
    """As `_net`, with a layer to match and moving statistics."""
    x = keras.Input((FEATURES,), dtype="float32")

    def dense(units, offset, **kwargs):
        initializer = keras.initializers.GlorotUniform(seed + offset)
        return keras.layers.Dense(
            units, kernel_initializer=initializer, **kwargs
        )

    hidden = dense(width, 0, name="hidden")(x)
    normal = keras.layers.BatchNormalization(name="norm")(hidden)
    return keras.Model(x, dense(CLASSES, 1)(keras.ops.relu(normal)))


def _updates(method):
    """How often a batch of a method moves a matching student's statistics.

    Of a moving mean that begins at 0, k updates with a batch's mean m at
    momentum 0.99 make (1 - 0.99^k) m.
    """

    def measure(library):
        student = _net_of_blocks(0)
        distiller = library.matching(student, _net_of_blocks(7), TEMPERATURE)
        library.compile(distiller, keras.optimizers.SGD(0.0))
        x, y = _data()
        hidden = keras.Model(student.inputs, student.get_layer("hidden").output)
        mean = np.asarray(hidden(x)).mean(0)
        getattr(distiller, method)(x, y, batch_size=CASES, verbose=0)
        moved = np.asarray(student.get_layer("norm").moving_mean)
        share = float((moved * mean).sum() / (mean**2).sum())
        return f"{np.log1p(-share) / np.log(0.99):.1f}"

    return measure


def moved_in_fit():
    title = "features matched: updates of BatchNormalization in a step"
    return title, "1.0", _updates("fit")


def moved_in_evaluate():
    title = "the same in a batch of `evaluate`"
    return title, "0.0", _updates("evaluate")


def features_of_other_widths():
    def attempt(library):
        distiller = library.matching(
            _net_of_blocks(0), _net_of_blocks(7, width=24), TEMPERATURE
        )
        library.compile(distiller, keras.optimizers.Adam(0.01))
        return "trains" if np.isfinite(_first_loss(distiller)) else "NaN"

    return _outcome("features of 16 and 24 units matched", "trains", attempt)


PROBES = (
    ordinary_loss,
    shifted_loss,
    large_loss,
    gradient_error,
    gradient_error_on_large_logits,
    gradient_error_close_to_the_teacher,
    sample_weight,
    class_weight,
    regulariser,
    resume,
    saved_size,
    mixed_precision,
    callers_teacher,
    unlabelled_rows,
    moved_in_fit,
    moved_in_evaluate,
    features_of_other_widths,
)


if __name__ == "__main__":
    flags.DEFINE_string(
        "output", "results/peer_comparison.json", "where the figures go"
    )
    app.run(main)
