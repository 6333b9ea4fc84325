"""The programs that are exported, and their manifests."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from benchmarks.gpu import answers, export, inputs, programs


@pytest.mark.slow
@pytest.mark.parametrize("form", programs.FORMS)
def test_an_exported_loss(form, tmp_path):
    rows, classes = 3, 70
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
    teacher = ["teacher_logits"]
    if form == "kdtf_top":
        teacher = ["top_logits", "top_classes", "tail"]
    others = ["labels", "temperature", "soft_weight", "hard_weight"]
    assert names == ["student_logits", *teacher, *others]
    assert manifest["parameters"][0].items() >= logits.items()
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
    """The new value of a captured variable is an output that names it."""
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
