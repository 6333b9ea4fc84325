"""Writes the programs that TensorFlow gives to XLA, for a machine without it.

    python -m benchmarks.gpu.export --output=FOLDER

Half a minute, no GPU. For every program of `benchmarks.gpu.programs`, or
with `--fused` of `benchmarks.gpu.fused_programs`:

    NAME.hlo.pb          serialized HLO, not optimised, of no platform
    NAME.precise.hlo.pb  where there are matrix products: in full float32, and
                         not in TF32; for the check of its outputs
    NAME.json            parameters, outputs, what the check needs, versions
    NAME.npz             of small programs: "input_0", ..., "output_0", ...;
                         bfloat16 as float32
"""

import io
import json
import pathlib

import numpy as np
import tensorflow as tf
import tqdm
from absl import app, flags
from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2

from benchmarks.gpu import fused_programs, inputs, programs
from kdtf import _atomic
from trainers.core import run_directory

_DTYPES = {
    "PRED": "bool",
    "S32": "int32",
    "S64": "int64",
    "BF16": "bfloat16",
    "F32": "float32",
}
_WARM_UP = 3  # steps, so that no slot of the optimizer is checked at 0


def export(program, folder):
    """Writes the files of one program.

    Args:
      program: `programs.Program`.
      folder: `pathlib.Path` of a folder that exists.
    """
    specs = [
        tf.TensorSpec(each["shape"], each["dtype"], each["name"])
        for each in program.arguments
    ]
    lower = program.function.experimental_get_compiler_ir(*specs)
    serialized = lower(stage="hlo_serialized")
    module = hlo_pb2.HloModuleProto.FromString(serialized)
    captured = _captured(program.function.get_concrete_function(*specs))
    manifest = describe(program, module, [name for name, _ in captured])
    if program.saved:
        values = _saved(program, manifest, [value for _, value in captured])
        _atomic.write_whole(folder / f"{program.name}.npz", values)
    portable = _portable(module)
    _atomic.write_whole(folder / f"{program.name}.hlo.pb", portable)
    precise = _portable(module, precise=True)
    if precise != portable:
        _atomic.write_whole(folder / f"{program.name}.precise.hlo.pb", precise)
    text = json.dumps(manifest, indent=1) + "\n"
    _atomic.write_whole(folder / f"{program.name}.json", text)


def describe(program, module, captured):
    """The manifest of a program.

    Args:
      program: `programs.Program`.
      module: `HloModuleProto`, whose parameters are the program's arguments and
        then what it captures.
      captured: list of str, names of what it captures.

    Returns:
      Dict. An output's "parameter" is the position of the parameter, a variable
      of the program, that it is the new value of, or None.
    """
    shapes = [_shape(s) for s in module.host_program_shape.parameters]
    named = [*program.arguments, *({"name": name} for name in captured)]
    written = {
        entry.output_shape_index[0]: entry.parameter_number
        for entry in module.input_output_alias.entries
    }
    results = module.host_program_shape.result.tuple_shapes
    return {
        "name": program.name,
        "soft_term": program.soft_term,
        "tolerance": program.tolerance,
        "saved": program.saved,
        "parameters": [
            {**name, **shape} for name, shape in zip(named, shapes, strict=True)
        ],
        "outputs": [
            {**_shape(shape), "parameter": written.get(i)}
            for i, shape in enumerate(results)
        ],
        "commit": run_directory.commit(),
        "versions": run_directory.versions(),
    }


def _shape(proto):
    name = xla_data_pb2.PrimitiveType.Name(proto.element_type)
    return {"shape": list(proto.dimensions), "dtype": _DTYPES[name]}


def _captured(concrete):
    """List of (name, variable or tensor): the last parameters, in order."""
    variables = {id(each.handle): each for each in concrete.variables}
    captured = [
        variables.get(id(outer), outer) for outer in concrete.captured_inputs
    ]
    inner = concrete.inputs[len(concrete.inputs) - len(captured) :]
    return [
        (getattr(each, "name", inside.name), each)
        for each, inside in zip(captured, inner, strict=True)
    ]


def _saved(program, manifest, captured):
    """Inputs, and the outputs of TensorFlow for them, as the bytes of an npz.

    Args:
      program: `programs.Program`.
      manifest: dict of `describe`.
      captured: list of variables and tensors.

    Returns:
      bytes.
    """
    arguments = [tf.constant(a) for a in inputs.draw(program.arguments)]
    if captured:
        for _ in range(_WARM_UP):
            program.function(*arguments)
    before = [_numpy(each) for each in [*arguments, *captured]]
    returned = tf.nest.flatten(program.function(*arguments))
    after = [*arguments, *captured]
    # Variables that are written come after what the function returns.
    outputs = [_numpy(each) for each in returned] + [
        _numpy(after[output["parameter"]])
        for output in manifest["outputs"][len(returned) :]
    ]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        **{f"input_{i}": each for i, each in enumerate(before)},
        **{f"output_{i}": each for i, each in enumerate(outputs)},
    )
    return buffer.getvalue()


def _numpy(tensor):
    tensor = tf.convert_to_tensor(tensor)
    exact = tf.float32 if tensor.dtype == tf.bfloat16 else tensor.dtype
    return tf.cast(tensor, exact).numpy()


def _portable(module, precise=False):
    """The module as StableHLO can say it, without this machine's paths."""
    result = hlo_pb2.HloModuleProto()
    result.CopyFrom(module)
    result.ClearField("input_output_alias")  # the manifest's
    result.ClearField("stack_frame_index")
    for computation in result.computations:
        for instruction in computation.instructions:
            instruction.ClearField("metadata")
            # TensorFlow copies the variables that it writes; StableHLO has no
            # copy, and a reshape to the same shape is equivalent.
            if instruction.opcode == "copy":
                instruction.opcode = "reshape"
            if precise and instruction.opcode == "dot":
                highest = xla_data_pb2.PrecisionConfig.HIGHEST
                both = instruction.precision_config.operand_precision
                both[:] = [highest, highest]
    return result.SerializeToString(deterministic=True)


def main(argv):
    """Writes all programs."""
    del argv
    folder = pathlib.Path(flags.FLAGS.output)
    folder.mkdir(parents=True, exist_ok=True)
    if flags.FLAGS.fused:
        with fused_programs.as_on_a_gpu():
            _export_all(fused_programs.everything(), folder)
    else:
        _export_all(programs.everything(), folder)


def _export_all(everything, folder):
    for program in tqdm.tqdm(everything):
        export(program, folder)


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "the folder they go to", required=True)
    flags.DEFINE_bool(
        "fused", False, "the last layer fused with the loss alone"
    )
    app.run(main)
