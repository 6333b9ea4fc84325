"""benchmarks.gpu: what is counted in HLO, and what is exported."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from benchmarks.gpu import answers, export, hlo, inputs, programs
from tests import reference

ROOT = pathlib.Path(__file__).resolve().parents[3]

# z and v are f32[4,8], 128 bytes; a row is f32[4], 16 bytes.
TEXT = """\
HloModule jit_call, is_scheduled=true, entry_computation_layout={(f32[4,8]{1,0})->f32[]}

%fused_reduce (param_0: f32[4,8]) -> f32[4] {
  %param_0 = f32[4,8]{1,0} parameter(0)
  ROOT %reduce = f32[4]{0} reduce(%param_0, %zero), dimensions={1}, to_apply=%add
}

%command_buffer (p: f32[4,8], q: f32[4]) -> bf16[4,8] {
  %p = f32[4,8]{1,0} parameter(0)
  %q = f32[4]{0} parameter(1)
  ROOT %scale = bf16[4,8]{1,0} fusion(%p, %q, %p), kind=kLoop, calls=%fused_scale
}

ENTRY %main.1 (z: f32[4,8], v: f32[4,8]) -> (f32[4], bf16[4,8]) {
  %z = f32[4,8]{1,0} parameter(0), metadata={op_name="args[0]"}
  %v = f32[4,8]{1,0} parameter(1)
  %both = (f32[4]{0}, /*index=1*/f32[4]{0}) fusion(%z, /*index=1*/%v), kind=kInput, calls=%fused_reduce, metadata={op_name="jit(call)/Sum(x)"}
  %row = f32[4]{0} get-tuple-element(%both), index=1
  %flat = f32[32]{0} bitcast(%v)
  %gemm = (f32[8,8]{1,0}, s8[4096]{0}) custom-call(%z, %flat), custom_call_target="__cublas$gemm"
  %called = bf16[4,8]{1,0} call(%z, %row), to_apply=%command_buffer
  ROOT %out = (f32[4]{0}, bf16[4,8]{1,0}) tuple(%row, %called)
}
"""  # noqa: E501


def test_kernels_and_their_bytes():
    logits, row = 4 * 8 * 4, 4 * 4
    kernels = hlo.kernels(TEXT)
    assert kernels == [
        hlo.Kernel("both", "fusion kInput", 2 * logits, 2 * row),
        # Its scratch memory is not counted.
        hlo.Kernel("gemm", "custom-call __cublas$gemm", 2 * logits, 8 * 8 * 4),
        # An operand that is there twice is read once; bfloat16 is written.
        hlo.Kernel("scale", "fusion kLoop", logits + row, logits // 2),
    ]
    moved = (2 + 2 + 1 + 0.5) * logits + 3 * row + 8 * 8 * 4
    assert hlo.bytes_moved(kernels) == moved
    assert set(hlo.kinds(kernels).values()) == {1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ENTRY ", "", "HLO module"),
        (" call(", " while(", "no loop.*called"),
        ("bf16", "f4e2m1fn", "'f4e2m1fn'"),
    ],
)
def test_what_cannot_be_counted_is_refused(old, new, message):
    with pytest.raises(ValueError, match=message):
        hlo.kernels(TEXT.replace(old, new))


def test_inputs_are_what_their_recipes_say():
    recipes = [
        {"shape": [999], "dtype": "bfloat16", "draw": ["normal", 5.0]},
        {"shape": [999], "dtype": "int32", "draw": ["integers", 3]},
        {"shape": [], "dtype": "float32", "draw": ["constant", 4.0]},
    ]
    logits, labels, constant = inputs.draw(recipes)
    assert [a.dtype.name for a in (logits, labels, constant)] == [
        recipe["dtype"] for recipe in recipes
    ]
    # The standard error of a standard deviation is sigma / sqrt(2 n).
    spread = logits.astype(np.float64).std()
    assert spread == pytest.approx(5.0, abs=4 * 5.0 / np.sqrt(2 * 999))
    assert set(labels) == {0, 1, 2} and constant == 4.0
    with pytest.raises(ValueError, match="uniform"):
        inputs.draw([{"shape": [], "dtype": "int32", "draw": ["uniform", 1]}])


def test_the_closed_form_is_that_of_the_reference():
    z, v = np.random.default_rng(0).normal(size=(2, 300, 5))
    labels = np.arange(300) % 5
    values = [z, v, labels, 3.0, 0.7, 0.2]
    loss, gradient = answers.loss_and_gradient(values, "divergence", 2)
    expected = reference.distillation_loss(*values).mean()
    assert loss == pytest.approx(expected)
    # A central difference, of the loss that has the teacher's entropy in it.
    step = np.zeros_like(z)
    step[1, 3] = 1e-5
    up, down = (
        answers.loss_and_gradient([moved, *values[1:]], "cross-entropy")[0]
        for moved in (z + step, z - step)
    )
    assert gradient[1, 3] == pytest.approx((up - down) / 2e-5, rel=1e-5)


def test_an_error_is_a_part_of_the_largest_value():
    assert answers.error([1.0, -4.0], [1.5, -4.0]) == 0.5 / 4.0
    assert answers.error([0.5], [0.0]) == 0.5


@pytest.mark.parametrize("form", programs.FORMS)
def test_an_exported_loss(form, tmp_path):
    rows, classes = 3, 5
    program = programs.loss(form, "bfloat16", rows, classes, saved=True)
    export.export(program, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {
        ".json",
        ".npz",
        ".pb",
    }
    manifest = json.loads((tmp_path / f"{program.name}.json").read_text())
    logits = {"shape": [rows, classes], "dtype": "bfloat16"}
    names = [each["name"] for each in manifest["parameters"]]
    assert names[:3] == ["student_logits", "teacher_logits", "labels"]
    assert names[3:] == ["temperature", "soft_weight", "hard_weight"]
    assert manifest["parameters"][1].items() >= logits.items()
    assert manifest["outputs"][1] == {**logits, "parameter": None}

    serialized = (tmp_path / f"{program.name}.hlo.pb").read_bytes()
    module = hlo_pb2.HloModuleProto.FromString(serialized)
    assert len(module.host_program_shape.parameters) == len(names)
    opcodes = {i.opcode for c in module.computations for i in c.instructions}
    assert "exponential" in opcodes and "copy" not in opcodes

    values = inputs.draw(program.arguments)
    right = answers.loss_and_gradient(values, program.soft_term)
    with np.load(tmp_path / f"{program.name}.npz") as saved:
        np.testing.assert_array_equal(
            saved["input_0"], values[0].astype(np.float32)
        )
        for i, each in enumerate(right):
            assert answers.error(saved[f"output_{i}"], each) <= 0.05


def test_the_manifest_of_a_program_that_writes_a_variable(tmp_path):
    """The new value of a captured variable is an output, and says of which."""
    total = tf.Variable([1.0, 2.0], name="total")

    @tf.function(jit_compile=True, autograph=False)
    def add(x):
        total.assign_add(x)
        return tf.reduce_sum(x)

    argument = {"name": "x", "shape": [2], "dtype": "float32"}
    program = programs.Program(
        name="add",
        function=add,
        arguments=[{**argument, "draw": ["constant", 0.5]}],
        tolerance=0.0,
        saved=True,
    )
    export.export(program, tmp_path)
    manifest = json.loads((tmp_path / "add.json").read_text())
    assert manifest["parameters"][1]["name"] == "total:0"
    assert [o["parameter"] for o in manifest["outputs"]] == [None, 1]
    with np.load(tmp_path / "add.npz") as saved:
        np.testing.assert_array_equal(
            saved["output_1"] - saved["input_1"], [0.5, 0.5]
        )
        assert saved["output_0"] == 1.0


def test_the_side_without_tensorflow_does_not_import_it():
    script = (
        "import sys\n"
        "from benchmarks.gpu import answers, hlo, inputs, record\n"
        "absent = {'tensorflow', 'keras', 'kdtf', 'absl', 'jax'}\n"
        "assert not absent & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
