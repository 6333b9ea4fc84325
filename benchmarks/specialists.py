"""Time to combine a generalist with its active specialists.

    python -m benchmarks.specialists

From their logits to the combined distribution, compiled by XLA, on random cases
whose classes lie on a torus: a set is the classes nearest to a point, and a
case's logits are high near its class. At one size it is compared with the fixed
point of q (EM) and with gradient descent on z, q = softmax(z). Three minutes on
two cores; let nothing else run.
"""

import pathlib
import statistics

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import timing
from kdtf import specialists
from trainers.core import run_directory

# Classes, specialists, classes of each.
SIZES = [(100, 10, 20), (1_407, 28, 60), (15_000, 61, 300)]
TOPS = (1, 2, 3)
COMPARED, COMPARED_TOP = (1_407, 28, 60), 2
CASES = 128
TOLERANCE = 1e-6  # of log q, between one step and the next


class Problem:
    """Random cases: what `specialists.combine` takes, as tensors.

    Attributes:
      sets: `specialists.ClassSets`.
      generalist: `[cases, classes]` float32 logits.
      own: `[cases, A, S + 1]` float32 logits of the active specialists.
      active: `[cases, A]` int32.
    """

    def __init__(self, size, top, cases):
        classes, count, largest = size
        rng = np.random.default_rng(0)
        places = rng.random((classes, 2))
        near = np.argsort(_distances(rng.random((count, 2)), places))
        self.sets = specialists.ClassSets(
            list(near[:, :largest]), classes, top=top
        )
        truth = rng.integers(classes, size=cases)
        # So many classes as a set has lie within one unit.
        unit = np.sqrt(largest / classes / np.pi)
        signal = 8 * np.exp(-((_distances(places[truth], places) / unit) ** 2))
        z = signal + 1.5 * rng.normal(size=signal.shape)
        self.generalist = tf.constant(z, tf.float32)
        self.active = self.sets.active(self.generalist)
        members = self.sets.members[self.active]
        own = np.take_along_axis(signal[:, None], members, axis=-1)
        own += 1.5 * rng.normal(size=own.shape)
        own += 4 * (members == truth[:, None, None])
        dustbins = np.log(np.exp(z).sum(-1, keepdims=True)) + 2 * rng.normal(
            size=own.shape[:2]
        )
        self.own = tf.constant(
            np.concatenate([own, dustbins[..., None]], -1), tf.float32
        )

    def inputs(self):
        return self.generalist, self.own, self.active

    def trimmed(self):
        """The inputs without columns in which no specialist is active."""
        used = (self.active.numpy() >= 0).any(0).sum()
        return self.generalist, self.own[:, :used], self.active[:, :used]


def _distances(points, others):
    """On a torus of edge 1, `[points, others]`."""
    apart = np.abs(points[:, None] - others)
    return np.sqrt((np.minimum(apart, 1 - apart) ** 2).sum(-1))


def combination(problem):
    """Compiled function of `specialists.combine`'s arguments."""
    return tf.function(
        lambda *inputs: specialists.combine(*inputs, problem.sets),
        jit_compile=True,
        autograph=False,
    )


def dense(problem):
    """p_g + sum p_m, dustbins and outside, over all classes, in float64.

    Returns:
      base `[cases, classes]`, dustbins `[cases, A]`, 1 where a class is not in
      the set `[cases, A, classes]`.
    """
    z, own, active = (each.numpy() for each in problem.inputs())
    base = tf.nn.softmax(tf.cast(z, tf.float64)).numpy()
    dustbins = np.zeros(active.shape)
    outside = np.ones((*active.shape, z.shape[1]))
    for case, column in zip(*np.nonzero(active >= 0), strict=True):
        members = problem.sets.sets[active[case, column]]
        logits = own[case, column].astype(np.float64)
        logits = np.append(logits[: len(members)], logits[-1])
        p = np.exp(logits - logits.max())
        p /= p.sum()
        base[case, members] += p[:-1]
        dustbins[case, column] = p[-1]
        outside[case, column, members] = 0
    return tuple(map(tf.constant, (base, dustbins, outside)))


def _fixed_point(base, dustbins, outside, q):
    shares = dustbins / tf.linalg.matvec(outside, q)
    called = tf.reduce_sum(tf.cast(dustbins > 0, q.dtype), -1, keepdims=True)
    mass = base + q * tf.linalg.matvec(outside, shares, transpose_a=True)
    return mass / (1 + called)


def em(most):
    """Compiled function of `dense` arguments to log q and each case's steps."""

    def step(q, *problem):
        return _fixed_point(*problem, q)

    return _iterated(step, tf.math.log, lambda base: base, most)


def gradient_descent(most, rate=0.5, momentum=0.9):
    """The same, for q = softmax(z) down the gradient of z.

    The gradient is (1 + A) (q - fixed point of q); the rate is that over 1 + A.
    """

    def step(state, *problem):
        z, speed = tf.unstack(state)
        q = tf.nn.softmax(z)
        speed = momentum * speed - rate * (q - _fixed_point(*problem, q))
        return tf.stack([z + speed, speed])

    def log_q(state):
        return tf.nn.log_softmax(state[0])

    def start(base):
        z = tf.math.log(base)
        return tf.stack([z, tf.zeros_like(z)])

    return _iterated(step, log_q, start, most)


def _iterated(step, log_q, start, most):
    """Runs steps until log q of all cases stands still, or `most` steps."""

    @tf.function(jit_compile=True, autograph=False)
    def run(base, dustbins, outside):
        def unfinished(count, state, steps, done):
            del state, steps
            return (count < most) & ~tf.reduce_all(done)

        def body(count, state, steps, done):
            new = step(state, base, dustbins, outside)
            change = tf.reduce_max(tf.abs(log_q(new) - log_q(state)), -1)
            done |= change < TOLERANCE
            return count + 1, new, steps + tf.cast(~done, tf.int32), done

        norm = tf.reduce_sum(base, axis=-1, keepdims=True)
        zeros = tf.zeros(base.shape[:1], tf.int32)
        _, state, steps, _ = tf.while_loop(
            unfinished,
            body,
            (0, start(base / norm), zeros, zeros > 0),
        )
        return log_q(state), steps

    return run


def measure(size, top, cases, rounds):
    """Microseconds a case of one size: a dict."""
    problem = Problem(size, top, cases)
    combine, alone = combination(problem), _log_softmax()
    inputs, trimmed = problem.inputs(), problem.trimmed()
    seconds = timing.interleaved(
        {
            "combine": lambda: combine(*inputs)[0, 0].numpy(),
            "trimmed": lambda: combine(*trimmed)[0, 0].numpy(),
            "log_softmax": lambda: alone(inputs[0])[0, 0].numpy(),
        },
        rounds,
    )
    called = np.sum(problem.active.numpy() >= 0, axis=1)
    classes, count, largest = size
    return {
        "classes": classes,
        "specialists": count,
        "set_size": largest,
        "top": top,
        "most_active": problem.sets.most_active,
        "mean_active": float(called.mean()),
        "trimmed_to": int(called.max()),
        **{
            f"microseconds_{name}": 1e6 * statistics.median(each) / cases
            for name, each in seconds.items()
        },
    }


def _log_softmax():
    return tf.function(tf.nn.log_softmax, jit_compile=True, autograph=False)


def compare(size, top, cases, rounds, most=5_000):
    """Time, steps and answers of other ways to the same q: list of dicts."""
    problem = Problem(size, top, cases)
    combine, arguments = combination(problem), dense(problem)
    ours = combine(*problem.inputs()).numpy()
    ways = {
        "EM": em(most),
        "gradient descent, 200 steps": gradient_descent(min(most, 200)),
        "gradient descent, 1,000 steps": gradient_descent(min(most, 1_000)),
    }
    seconds = timing.interleaved(
        {
            "kdtf": lambda: combine(*problem.inputs())[0, 0].numpy(),
            **{
                name: lambda way=way: way(*arguments)[1].numpy()
                for name, way in ways.items()
            },
        },
        rounds,
    )
    rows = [_row("kdtf", seconds["kdtf"], ours, ours, cases)]
    for name, way in ways.items():
        log_q, steps = (each.numpy() for each in way(*arguments))
        row = _row(name, seconds[name], log_q, ours, cases)
        row |= {
            "mean_steps": float(steps.mean()),
            "most_steps": int(steps.max()),
            # All cases take as many steps as the slowest one; without that:
            "microseconds_of_own_steps": row["microseconds"]
            * float(steps.mean() / max(steps.max(), 1)),
        }
        rows.append(row)
    return rows


def _row(name, seconds, log_q, ours, cases):
    return {
        "way": name,
        "microseconds": 1e6 * statistics.median(seconds) / cases,
        "same_argmax": float(np.mean(log_q.argmax(-1) == ours.argmax(-1))),
        "largest_difference_of_q": float(
            np.abs(np.exp(log_q) - np.exp(ours)).max()
        ),
    }


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    rows = []
    for size in SIZES:
        for top in TOPS:
            row = measure(size, top, values.cases, values.rounds)
            rows.append(row)
            print(
                "{classes:6,} classes, {specialists:3} x {set_size:3}, top "
                "{top}: {mean_active:4.1f} active, at most {most_active:2}: "
                "{microseconds_combine:8.1f} us a case, of {trimmed_to:2} "
                "columns {microseconds_trimmed:7.1f}, log_softmax "
                "{microseconds_log_softmax:5.1f}".format(**row)
            )
    ways = compare(COMPARED, COMPARED_TOP, values.cases, values.rounds)
    for way in ways:
        print(
            f"{way['way']:30} {way['microseconds']:9.1f} us a case, argmax as "
            f"ours {way['same_argmax']:.2%}, steps "
            f"{way.get('mean_steps', '-')} to {way.get('most_steps', '-')}, "
            f"{way.get('microseconds_of_own_steps', '-')} us of own steps"
        )
    run_directory.write_json(
        pathlib.Path(values.output),
        {
            **timing.conditions("specialists"),
            "cases": values.cases,
            "rows": rows,
            "ways": ways,
        },
    )


if __name__ == "__main__":
    flags.DEFINE_integer("cases", CASES, "cases of a batch", lower_bound=1)
    flags.DEFINE_integer("rounds", 9, "timings of each", lower_bound=1)
    flags.DEFINE_string(
        "output",
        "results/specialists_combination.json",
        "where the figures go",
    )
    app.run(main)
