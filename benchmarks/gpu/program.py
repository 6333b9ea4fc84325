"""A program of `benchmarks.gpu.export`, as a function of jax arrays.

HLO is converted to StableHLO and wrapped in an `Exported`, as `jax.export`
would return it. There is no public constructor: the fields are those of jax
0.11.
"""

import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import mlir
from jax.extend.mlir.dialects import stablehlo

from benchmarks.gpu import hlo, inputs

jax.config.update("jax_enable_x64", True)  # optimizers count steps in int64


def manifests(folder):
    """The manifests in a folder, sorted by name.

    Args:
      folder: `pathlib.Path`, of `benchmarks.gpu.export`.

    Returns:
      List of dicts.

    Raises:
      ValueError: if there is none.
    """
    texts = [path.read_text() for path in sorted(folder.glob("*.json"))]
    if not texts:
        raise ValueError(
            "`programs` must be a folder that benchmarks.gpu.export wrote. "
            f"Received: {folder}"
        )
    return [json.loads(text) for text in texts]


class Program:
    """A program, to be compiled for a platform.

    Attributes:
      name: str.
      manifest: dict; see `benchmarks.gpu.export.describe`.
      written: dict from the position of an output to that of the parameter, a
        variable, that it is the new value of; empty for a loss.
      call: function of the parameters to a tuple of the outputs.
    """

    def __init__(self, folder, manifest, platform, precise=False):
        """Reads a program.

        Args:
          folder: path of the exported programs.
          manifest: dict, one of `manifests`.
          platform: "cuda" or "cpu".
          precise: whether matrix products are in full float32, not TF32.
        """
        self.name, self.manifest = manifest["name"], manifest
        self._folder = pathlib.Path(folder)
        self._avals = tuple(_aval(p) for p in manifest["parameters"])
        self.written = {
            i: output["parameter"]
            for i, output in enumerate(manifest["outputs"])
            if output["parameter"] is not None
        }
        path = self._folder / f"{self.name}.precise.hlo.pb"
        if not (precise and path.exists()):
            path = self._folder / f"{self.name}.hlo.pb"
        outputs = tuple(_aval(output) for output in manifest["outputs"])
        self.call = _exported(
            self.name, path.read_bytes(), self._avals, outputs, platform
        ).call

    def trace(self, function=None, sharding=None):
        """A function of the parameters, traced, with variables donated.

        Args:
          function: one that uses `call`, or None for `call` itself.
          sharding: `jax.sharding.Sharding` of all arrays, or None for the
            default device.

        Returns:
          `jax.stages.Traced`.
        """
        options = {}
        if sharding is not None:
            options = {"in_shardings": sharding, "out_shardings": sharding}
        return jax.jit(
            function or self.call,
            donate_argnums=tuple(self.written.values()),
            **options,
        ).trace(*self._avals)

    def values(self):
        """Values of the parameters, saved or drawn, NumPy arrays."""
        parameters = self.manifest["parameters"]
        if not self.manifest["saved"]:
            return inputs.draw(parameters)
        return self._load("input", parameters)

    def expected(self):
        """TensorFlow's outputs for them, or None where they are not saved."""
        if not self.manifest["saved"]:
            return None
        return self._load("output", self.manifest["outputs"])

    def _load(self, kind, described):
        with np.load(self._folder / f"{self.name}.npz") as saved:
            return [
                inputs.as_dtype(saved[f"{kind}_{i}"], each["dtype"])
                for i, each in enumerate(described)
            ]

    @property
    def logits_bytes(self):
        """Bytes of one of the logits of a loss; None for a step."""
        if self.manifest["soft_term"] is None:
            return None
        return math.prod(self._avals[0].shape) * self._avals[0].dtype.itemsize


def counts(compiled, logits_bytes=None):
    """Kernels, bytes moved and temporary memory of a program for a GPU.

    Args:
      compiled: `jax.stages.Compiled`.
      logits_bytes: int, bytes of the logits of a loss, or None.

    Returns:
      Dict.
    """
    launched = hlo.kernels(compiled.as_text())
    moved = hlo.bytes_moved(launched)
    return {
        "kernels": len(launched),
        "kinds": hlo.kinds(launched),
        "megabytes_moved": moved / 1e6,
        "moved_over_logits": logits_bytes and moved / logits_bytes,
        "megabytes_temporary": temporary(compiled),
    }


def temporary(compiled):
    """Megabytes of a compiled program, without parameters and outputs."""
    return compiled.memory_analysis().temp_size_in_bytes / 1e6


def _aval(described):
    return jax.core.ShapedArray(
        tuple(described["shape"]), jnp.dtype(described["dtype"])
    )


def _exported(name, serialized, parameters, outputs, platform):
    module = mlir.serialize_portable_artifact(
        mlir.hlo_to_stablehlo(serialized), stablehlo.get_current_version()
    )
    nowhere_in, nowhere_out = (None,) * len(parameters), (None,) * len(outputs)
    version = jax.export.maximum_supported_calling_convention_version
    return jax.export.Exported(
        fun_name=name,
        in_tree=jax.tree.structure((parameters, {})),
        in_avals=parameters,
        out_tree=jax.tree.structure(outputs),
        out_avals=outputs,
        _in_named_shardings=nowhere_in,
        _out_named_shardings=nowhere_out,
        in_shardings_hlo=nowhere_in,
        out_shardings_hlo=nowhere_out,
        nr_devices=1,
        platforms=(platform,),
        ordered_effects=(),
        unordered_effects=(),
        disabled_safety_checks=(),
        mlir_module_serialized=module,
        calling_convention_version=version,
        module_kept_var_idx=tuple(range(len(parameters))),
        uses_global_constants=False,
        _get_vjp=None,
    )
