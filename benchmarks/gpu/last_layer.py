"""Time, memory and errors of a last layer and its loss, on an NVIDIA GPU.

    python -m benchmarks.gpu.export --fused --output=FOLDER
    python -m benchmarks.gpu.last_layer --programs=FOLDER

A minute or two; see `benchmarks.gpu.run` for what it needs. The loss and its
gradients by hidden states and kernel are compared with float64, on the GPU.
Kernels are not counted: how often a loop launches them is not in its text.
"""

import argparse  # absl is not installed where only jax is
import pathlib
import sys

import jax
import jax.numpy as jnp

from benchmarks.gpu import inputs, program, record, run

_ROWS_AT_ONCE = 256


def mean_loss_and_gradients(hidden, kernel, labels, *parts):
    """The right outputs of a program, in float64.

    Args:
      hidden: bfloat16 `[rows, width]`.
      kernel: `[width, classes]`; it is rounded to bfloat16, as the programs do.
      labels: integers `[rows]`.
      *parts: the teacher's hidden states and kernel, or the three parts of its
        largest logits.

    Returns:
      The loss, and its gradients by hidden states and kernel.
    """
    exact = jnp.float64
    kernel = kernel.astype(jnp.bfloat16).astype(exact)
    teacher_kernel = parts[1].astype(exact) if len(parts) == 2 else None
    by_row = (hidden, labels, *(parts[:1] if len(parts) == 2 else parts))
    blocks = [each.reshape(-1, *_block(each)) for each in by_row]

    def add_block(by_kernel, block):
        states, block_labels, *block_parts = block
        loss, (by_hidden, more) = jax.value_and_grad(_sum_of_losses, (0, 1))(
            states.astype(exact),
            kernel,
            block_labels,
            block_parts,
            teacher_kernel,
        )
        return by_kernel + more, (loss, by_hidden)

    by_kernel, (losses, by_hidden) = jax.lax.scan(
        add_block, jnp.zeros_like(kernel), blocks
    )
    rows = len(hidden)
    by_hidden = by_hidden.reshape(hidden.shape)
    return losses.sum() / rows, by_hidden / rows, by_kernel / rows


def _block(array):
    return (min(_ROWS_AT_ONCE, len(array)), *array.shape[1:])


def _sum_of_losses(hidden, kernel, labels, parts, teacher_kernel):
    temperature = inputs.HYPERPARAMETERS["temperature"]
    soft_weight = inputs.HYPERPARAMETERS["soft_weight"]
    hard_weight = inputs.HYPERPARAMETERS["hard_weight"]
    z = hidden @ kernel
    if teacher_kernel is None:
        v = _teacher_logits(*parts, temperature, z.shape[1])
    else:
        v = parts[0].astype(z.dtype) @ teacher_kernel
    log_p, log_q = (jax.nn.log_softmax(each / temperature) for each in (v, z))
    soft = jnp.sum(jnp.exp(log_p) * (log_p - log_q))
    picked = jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], 1)
    total = soft_weight * temperature**2 * soft - hard_weight * picked.sum()
    return total / (soft_weight + hard_weight)


def _teacher_logits(largest, chosen, tail, temperature, classes):
    """`[rows, classes]`, of top logits with the other mass spread evenly."""
    largest, tail = largest.astype(jnp.float64), tail.astype(jnp.float64)
    log_mass = jax.nn.logsumexp(largest / temperature, axis=1)
    log_mass += tail - jnp.log(-jnp.expm1(tail))
    rest = log_mass - jnp.log(classes - largest.shape[1])
    logits = jnp.repeat(temperature * rest[:, None], classes, axis=1)
    return jnp.put_along_axis(logits, chosen, largest, axis=1, inplace=False)


def measure(folder, manifest, steps, rounds):
    """The row of one program.

    Args:
      folder: `pathlib.Path` of the exported programs.
      manifest: dict, one of `program.manifests`.
      steps: int, calls a timing.
      rounds: int, timings.

    Returns:
      Dict.
    """
    loaded = program.Program(folder, manifest, run.platform())
    values = [jnp.asarray(value) for value in loaded.values()]
    compiled = loaded.trace().lower().compile()
    expected = jax.jit(mean_loss_and_gradients)(*values)
    error = max(map(_error, compiled(*values), expected))
    del expected  # gigabytes
    teacher, kernel, rows_at_a_time = manifest["name"].split("_")
    timed = run.one_by_one(loaded, compiled, values, steps)
    return {
        "teacher": teacher,
        "kernel": kernel,
        "rows_at_a_time": rows_at_a_time,
        **run.milliseconds(timed, steps, rounds),
        "megabytes_temporary": program.temporary(compiled),
        "error": error,
        "tolerance": manifest["tolerance"],
    }


def _error(measured, right):
    gap = jnp.max(jnp.abs(measured.astype(right.dtype) - right))
    return float(gap / jnp.max(jnp.abs(right)))


def main():
    """Checks, times, prints, writes; returns 1 if an output is wrong, or 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--output", default="results/gpu_fused.json")
    parser.add_argument("--steps", type=int, default=5, help="in a timing")
    parser.add_argument("--rounds", type=int, default=5, help="timings of each")
    options = parser.parse_args()
    manifests, rows = program.manifests(options.programs), []
    for manifest in manifests:
        rows.append(
            measure(options.programs, manifest, options.steps, options.rounds)
        )
        print(*rows[-1].values(), flush=True)
    record.write_json(
        options.output,
        {
            **record.conditions("gpu.last_layer", run.platform(), manifests),
            "device": jax.devices()[0].device_kind,
            "rows": rows,
        },
    )
    return int(not all(row["error"] <= row["tolerance"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
