"""The kernels of the programs on an H200, compiled on a machine without a GPU.

    python -m benchmarks.gpu.export --output=FOLDER       # where TensorFlow is
    python -m benchmarks.gpu.aot --programs=FOLDER

compiles them ahead of time, half a minute, and counts kernels, the bytes that
these move (`benchmarks.gpu.hlo`) and temporary memory. Nothing runs: these are
counts and not times, of the TensorFlow program's HLO, compiled by jaxlib's
XLA:GPU. Nothing is autotuned either: on a real GPU the matrix
products of the step may use other kernels.

Needs Python 3.12, over 400 MB, and neither TensorFlow nor absl:

    pip install jax==0.11.2 jax-cuda13-plugin==0.11.2 jax-cuda13-pjrt==0.11.2
    pip install nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-runtime
"""

import argparse  # absl is not installed where only jax is
import os
import pathlib

# Before jax is imported: use the CUDA plug-in, and ask for no driver.
os.environ.setdefault("JAX_PLATFORMS", "cuda")
os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")

from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from benchmarks.gpu import program, record

_TARGET = pathlib.Path(__file__).parent / "h200.txtpb"


def target():
    """The sharding that puts all arrays on an H200 that is not there."""
    topology = topologies.get_topology_desc(
        platform="cuda",
        topology_name="h200",
        topology="1x1x1",
        target_config=_TARGET.read_text(),
    )
    return SingleDeviceSharding(topology.devices[0])


def count(folder, manifest, sharding):
    """The row of one program.

    Args:
      folder: `pathlib.Path` of the exported programs.
      manifest: dict, one of `program.manifests`.
      sharding: of `target`.

    Returns:
      Dict of its name and of `program.counts`.
    """
    logits_bytes = program.Program(folder, manifest, "cuda").logits_bytes
    figures = program.counts(compiled(folder, manifest, sharding), logits_bytes)
    return {"program": manifest["name"], **figures}


def compiled(folder, manifest, sharding):
    """The `jax.stages.Compiled` of one program; arguments as of `count`."""
    traced = program.Program(folder, manifest, "cuda").trace(sharding=sharding)
    return traced.lower(lowering_platforms=("cuda",)).compile()


def main():
    """Compiles, prints and writes the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--output", default="results/gpu_aot.json")
    options = parser.parse_args()
    manifests = program.manifests(options.programs)
    sharding = target()
    print(f"{record.what('cuda')}, for an H200")
    print(
        f"{'program':40}{'kernels':>8}{'MB moved':>10}{'x logits':>10}"
        f"{'MB temporary':>14}"
    )
    rows = []
    for manifest in manifests:
        row = count(options.programs, manifest, sharding)
        times = row["moved_over_logits"]
        print(
            f"{row['program']:40}{row['kernels']:8}"
            f"{row['megabytes_moved']:10.1f}"
            f"{f'{times:.1f}' if times else '':>10}"
            f"{row['megabytes_temporary']:14.1f}",
            flush=True,
        )
        rows.append(row)
    record.write_json(
        options.output,
        {
            **record.conditions("gpu.aot", "cuda", manifests),
            "device": "NVIDIA H200, compiled for and not run on",
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
