"""Temporary memory of a last layer and its loss, compiled for an H200.

    python -m benchmarks.gpu.export --fused --output=FOLDER
    python -m benchmarks.gpu.memory --programs=FOLDER

a minute, no GPU; see `benchmarks.gpu.aot` for what it needs. Nothing runs, and
kernels are not counted: how often a loop launches them is not in its text.
"""

import argparse  # absl is not installed where only jax is
import pathlib

from benchmarks.gpu import aot, program, record


def main():
    """Compiles, prints and writes the megabytes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--output", default="results/gpu_fused.json")
    options = parser.parse_args()
    manifests = program.manifests(options.programs)
    sharding, rows = aot.target(), []
    for manifest in manifests:
        compiled = aot.compiled(options.programs, manifest, sharding)
        teacher, kernel, at_a_time = manifest["name"].split("_")
        rows.append(
            {
                "teacher": teacher,
                "kernel": kernel,
                "rows_at_a_time": at_a_time,
                "megabytes_temporary": program.temporary(compiled),
            }
        )
        print(*rows[-1].values(), flush=True)
    record.write_json(
        options.output,
        {
            **record.conditions("gpu.memory", "cuda", manifests),
            "device": "NVIDIA H200, compiled for and not run on",
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
