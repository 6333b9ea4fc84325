"""Checks and times the exported programs on an NVIDIA GPU that jax can use.

    python -m benchmarks.gpu.export --output=FOLDER       # where TensorFlow is
    python -m benchmarks.gpu.run --programs=FOLDER        # where the GPU is

Every program's outputs are compared with the closed form in float64 (losses)
and with TensorFlow's own (small losses, the step); then it is timed, a minute
or two in all. All figures are those of the TensorFlow program's HLO, compiled
by jaxlib's XLA:GPU; none is TensorFlow's on a GPU. Gigabytes a second are the
bytes that `benchmarks.gpu.hlo` counts; those of a copy are given too.

    JAX_PLATFORMS=cpu python -m benchmarks.gpu.run --programs=FOLDER --small

checks programs and scripts without a GPU; its times are XLA:CPU's. Needs Python
3.12 and neither TensorFlow nor absl:

    pip install "jax[cuda13]==0.11.2"
"""

import argparse  # absl is not installed where only jax is
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp

from benchmarks.gpu import answers, program, record


def check(loaded, outputs, values):
    """How far a program's outputs are from the right ones.

    Args:
      loaded: `program.Program`.
      outputs: list of arrays.
      values: list of arrays, its parameters.

    Returns:
      Dict from what they are compared with to the largest error of an output.
    """
    errors = {}
    soft_term = loaded.manifest["soft_term"]
    if soft_term is not None:
        loss, gradient = answers.loss_and_gradient(values, soft_term)
        errors["float64"] = max(
            answers.error(outputs[0], loss),
            answers.error(outputs[1][: len(gradient)], gradient),
        )
    expected = loaded.expected()
    if expected is not None:
        pairs = zip(outputs, expected, strict=True)
        errors["TensorFlow"] = max(answers.error(*pair) for pair in pairs)
    return errors


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
    device = platform()
    loaded = program.Program(folder, manifest, device)
    precise = program.Program(folder, manifest, device, precise=True)
    values = loaded.values()
    errors = check(loaded, jax.jit(precise.call)(*values), values)
    compiled = loaded.trace().lower().compile()
    row = {
        "program": loaded.name,
        "errors": errors,
        "right": max(errors.values()) <= manifest["tolerance"],
        "megabytes_temporary": program.temporary(compiled),
    }
    if device == "cuda":  # the instructions of XLA:CPU are no kernels
        row |= program.counts(compiled, loaded.logits_bytes)
    ways = {"milliseconds": one_by_one(loaded, compiled, values, steps)}
    if loaded.written:
        ways["milliseconds_in_one_loop"] = in_one_loop(loaded, values, steps)
    for name, run in ways.items():
        row |= milliseconds(run, steps, rounds, name)
    if "megabytes_moved" in row:
        row["gigabytes_a_second"] = row["megabytes_moved"] / row["milliseconds"]
    return row


def one_by_one(loaded, compiled, values, steps):
    """Function that calls a program many times, each from Python.

    The variables that it writes are inputs of the next call, in place.

    Args:
      loaded: `program.Program`.
      compiled: its `jax.stages.Compiled`.
      values: list of arrays, its parameters.
      steps: int, calls.

    Returns:
      Function without arguments.
    """
    parameters = [jnp.array(value) for value in values]

    def run():
        for _ in range(steps):
            outputs = compiled(*parameters)
            for output, parameter in loaded.written.items():
                parameters[parameter] = outputs[output]
        jax.block_until_ready(outputs)

    return run


def in_one_loop(loaded, values, steps):
    """Function that runs many steps as the loop of one XLA program.

    Args:
      loaded: `program.Program` that writes variables.
      values: list of arrays, its parameters.
      steps: int.

    Returns:
      Function without arguments.
    """
    positions = list(loaded.written.values())

    def loop(*parameters):
        def step(_, variables):
            now = list(parameters)
            for position, variable in zip(positions, variables, strict=True):
                now[position] = variable
            outputs = loaded.call(*now)
            return [outputs[output] for output in loaded.written]

        first = [parameters[position] for position in positions]
        return jax.lax.fori_loop(0, steps, step, first)

    compiled = loaded.trace(loop).lower().compile()
    parameters = [jnp.array(value) for value in values]

    def run():
        variables = compiled(*parameters)
        for position, variable in zip(positions, variables, strict=True):
            parameters[position] = variable
        jax.block_until_ready(variables)

    return run


def copy_speed(rounds, copies=20):
    """Gigabytes a second, read and written, of a kernel that negates an array.

    Args:
      rounds: int, timings.
      copies: int, kernels a timing.

    Returns:
      float.
    """
    # Far beyond any cache: 1 GiB, and on a CPU what it does not wait for.
    items = 2**28 if platform() == "cuda" else 2**24
    array = jnp.zeros(items, jnp.float32)
    negate = jax.jit(jnp.negative)

    def run():
        for _ in range(copies):
            result = negate(array)
        result.block_until_ready()

    seconds = statistics.median(_seconds(run, rounds))
    return 2 * array.nbytes * copies / seconds / 1e9


def milliseconds(run, steps, rounds, name="milliseconds"):
    """The time of a step, in a dict.

    Args:
      run: function of that many steps.
      steps: int.
      rounds: int, timings.
      name: str, of the median; that of the quartiles ends in "_quartiles".

    Returns:
      Dict.
    """
    each = [1e3 * seconds / steps for seconds in _seconds(run, rounds)]
    lower, median, upper = statistics.quantiles(each, n=4, method="inclusive")
    return {name: median, f"{name}_quartiles": [lower, upper]}


def platform():
    """The platform of jax's default device: "cuda" or "cpu"."""
    name = jax.devices()[0].platform
    return "cuda" if name == "gpu" else name


def _seconds(run, rounds):
    run()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return seconds


def _print_row(row):
    errors = ", ".join(f"{e:.1e} {name}" for name, e in row["errors"].items())
    texts = [f"{row['program']:36}", f"{row['milliseconds']:9.3f} ms"]
    if "milliseconds_in_one_loop" in row:
        texts.append(f"({row['milliseconds_in_one_loop']:.3f} in one loop)")
    if "kernels" in row:
        texts.append(f"{row['kernels']} kernels")
        texts.append(f"{row['megabytes_moved']:.1f} MB")
        texts.append(f"{row['gigabytes_a_second']:.0f} GB/s")
    texts.append(f"{row['megabytes_temporary']:.1f} MB temporary")
    texts.append(f"{'right' if row['right'] else 'WRONG'}: {errors}")
    print("  ".join(texts), flush=True)


def main():
    """Checks, times, prints, writes; returns 1 if an output is wrong, or 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--output", default="results/gpu_run.json")
    parser.add_argument("--steps", type=int, default=50, help="in a timing")
    parser.add_argument("--rounds", type=int, default=9, help="timings of each")
    parser.add_argument(
        "--small", action="store_true", help="small losses and the step alone"
    )
    options = parser.parse_args()
    manifests = program.manifests(options.programs)
    if options.small:
        manifests = [each for each in manifests if each["saved"]]
    device, copy = jax.devices()[0].device_kind, copy_speed(options.rounds)
    what = record.what(platform())
    print(f"{what}, on {device}; a copy moves {copy:.0f} GB/s")
    rows = []
    for manifest in manifests:
        rows.append(
            measure(options.programs, manifest, options.steps, options.rounds)
        )
        _print_row(rows[-1])
    record.write_json(
        options.output,
        {
            **record.conditions("gpu.run", platform(), manifests),
            "device": device,
            "steps_a_timing": options.steps,
            "copy_gigabytes_a_second": copy,
            "rows": rows,
        },
    )
    return int(not all(row["right"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
