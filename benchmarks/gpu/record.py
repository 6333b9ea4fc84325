"""Result files, written without TensorFlow or absl."""

import json
import os
import pathlib
from importlib import metadata

_PACKAGES = ("jax", "jaxlib", "jax-cuda13-plugin", "jax-cuda13-pjrt", "numpy")


def what(platform):
    """What the figures describe: none of them is TensorFlow's own.

    Args:
      platform: "cuda" or "cpu".

    Returns:
      str.
    """
    compiler = {"cuda": "XLA:GPU", "cpu": "XLA:CPU"}[platform]
    return f"the TensorFlow program's HLO, compiled by jaxlib's {compiler}"


def conditions(benchmark, platform, manifests):
    """The head of a result file.

    Args:
      benchmark: str, its name.
      platform: "cuda" or "cpu".
      manifests: list of the manifests of the programs, dicts.

    Returns:
      Dict: what the figures describe, the commit and versions that the programs
      were exported with, and the versions that they are compiled with.
    """
    return {
        "benchmark": benchmark,
        "what": what(platform),
        "commit": manifests[0]["commit"],
        "versions": manifests[0]["versions"],
        "compiler_versions": {name: _version(name) for name in _PACKAGES},
    }


def write_json(path, value):
    """Writes `value` as indented JSON, whole or not at all.

    Args:
      path: path of the file; its folder is made if it does not exist.
      value: anything that JSON can represent.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".scratch")
    scratch.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    os.replace(scratch, path)


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None  # without a GPU's plug-in
