"""export_litert: a .tflite that LiteRT runs with the student's outputs."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import kdtf
from kdtf.export import _agreement
from tests import disks, nets, reference

layers = keras.layers
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=(16, *shape)).astype("float32")


def ids(steps):
    return RNG.integers(0, 30, (16, steps)).astype("int32")


def net(*parts):
    """A Sequential of two or more layers, ending in four logits."""
    return keras.Sequential([*parts, layers.Dense(4)])


def convolutional(dtype="float32"):
    """Whose batch normalisation has something to do."""
    student = net(
        keras.Input((8, 8, 2)),
        layers.Conv2D(4, 3, padding="same", use_bias=False, dtype=dtype),
        layers.BatchNormalization(dtype=dtype),
        layers.ReLU(dtype=dtype),
        layers.DepthwiseConv2D(3, strides=2, dtype=dtype),
        layers.GlobalAveragePooling2D(dtype=dtype),
    )
    moved = student.layers[1]
    for weight in moved.weights:
        weight.assign(RNG.uniform(0.5, 1.5, weight.shape))
    return student


def attention():
    x = keras.Input((6,), dtype="int32", name="ids")
    embedded = layers.Embedding(30, 8)(x)
    attended = layers.MultiHeadAttention(2, 4)(embedded, embedded)
    mixed = layers.LayerNormalization()(embedded + attended)
    pooled = layers.GlobalAveragePooling1D()(layers.Dense(8, "gelu")(mixed))
    return keras.Model(x, layers.Dense(4)(pooled))


class OwnCell(keras.layers.Layer):
    state_size = output_size = 5

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 5), name="kernel")
        self.recurrent = self.add_weight(shape=(5, 5), name="recurrent")

    def call(self, x, states):
        y = keras.ops.tanh(x @ self.kernel + states[0] @ self.recurrent)
        return y, [y]


class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, x):
        return self.dense(tf.nn.relu(x))


def subclass():
    student = Subclass()
    student(normal(5))
    return student


STUDENTS = {
    "dense": (lambda: nets.deep(dropout=0.5), normal(5)),
    "subclass": (subclass, normal(5)),
    "convolutional": (convolutional, normal(8, 8, 2)),
    "bfloat16": (lambda: convolutional("mixed_bfloat16"), normal(8, 8, 2)),
    "GRU": (
        lambda: net(
            keras.Input((7, 3)),
            layers.GRU(6, return_sequences=True),
            layers.GRU(5, dtype="mixed_float16"),
        ),
        normal(7, 3),
    ),
    "LSTM": (
        lambda: net(keras.Input((7, 3)), layers.Bidirectional(layers.LSTM(6))),
        normal(7, 3),
    ),
    "masked": (
        lambda: net(
            keras.Input((6,), dtype="int32"),
            layers.Embedding(30, 4, mask_zero=True),
            layers.LSTM(5),
        ),
        ids(6) * (np.arange(6) < 4),
    ),
    "own cell": (
        lambda: net(
            keras.Input((4, 3)), layers.RNN(OwnCell(), return_sequences=True)
        ),
        normal(4, 3),
    ),
    "attention": (attention, ids(6)),
}


def run(path, x):
    """What LiteRT returns for each example, one after the other."""
    runner = Interpreter(str(path)).get_signature_runner()
    x = x if isinstance(x, dict) else {_key(runner): x}
    count = len(next(iter(x.values())))
    found = [
        runner(**{name: value[i : i + 1] for name, value in x.items()})
        for i in range(count)
    ]
    return {key: np.concatenate([f[key] for f in found]) for key in found[0]}


def _key(runner):
    [key] = runner.get_input_details()
    return key


def operations(path):
    details = Interpreter(str(path))._get_ops_details()
    return {each["op_name"] for each in details}


def check_builtin(path):
    named = " ".join(operations(path))
    assert not any(kind in named for kind in ("Flex", "TensorList", "CUSTOM"))


def check_integers(path):
    """What multiplies matrices, and the softmax, has no float32 tensor."""
    interpreter = Interpreter(str(path))
    dtypes = {
        each["index"]: each["dtype"]
        for each in interpreter.get_tensor_details()
    }
    heavy = {
        each["op_name"]: {
            dtypes.get(index) for index in (*each["inputs"], *each["outputs"])
        }
        for each in interpreter._get_ops_details()
        if "CONV" in each["op_name"]
        or each["op_name"] in ("FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX")
    }
    assert heavy
    for name, found in heavy.items():
        assert np.int8 in found and np.float32 not in found, name


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDENTS)
def test_float_is_the_student(tmp_path, name, capfd):
    make, x = STUDENTS[name]
    student, path = make(), tmp_path / "student.tflite"
    capfd.readouterr()
    report = kdtf.export_litert(student, path)
    assert capfd.readouterr().err == ""
    assert report == kdtf.export.LiteRTReport(size=path.stat().st_size)
    check_builtin(path)
    found = run(path, x)
    kdtf.export_student(student, tmp_path / "export")
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    signature = loaded.signatures["serving_default"]
    [key] = signature.structured_input_signature[1]
    expected = signature(**{key: tf.constant(x)})
    assert set(found) == {"logits", "probabilities", "class"}
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=1e-5)
    if not {"bfloat16", "GRU"} & {name}:
        logits = student(x, training=False)
        np.testing.assert_allclose(found["logits"], logits, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDENTS)
def test_int8_and_its_report(tmp_path, name):
    make, x = STUDENTS[name]
    student, path = make(), tmp_path / "student.tflite"
    report = kdtf.export_litert(
        student, path, quantize="int8", representative_data=x
    )
    check_builtin(path)
    check_integers(path)
    found = run(path, x)
    assert found["probabilities"].dtype == np.float32
    # The report, by the student itself: in half precision not to the digit.
    z = np.asarray(tf.cast(student(x, training=False), tf.float32))
    slack = 0.02 if name in ("bfloat16", "GRU") else 1e-5
    gap = np.abs(found["probabilities"] - reference.softmax(z)).max()
    assert report.largest_difference == pytest.approx(gap, abs=slack)
    assert 0 < report.largest_difference < 0.1
    assert report.examples == 16 and report.size == path.stat().st_size
    if slack == 1e-5:
        same = np.mean(found["class"] == z.argmax(-1))
        assert report.agreement == pytest.approx(same)
    assert report.agreement > 0.5


@pytest.mark.slow
def test_dynamic_has_a_quarter_of_the_size(tmp_path):
    student = keras.Sequential(
        [keras.Input((64,)), layers.Dense(256, "relu"), layers.Dense(4)]
    )
    x, sizes = normal(64), {}
    for quantize in (None, "dynamic", "int8"):
        path = tmp_path / f"{quantize}.tflite"
        report = kdtf.export_litert(
            student, path, quantize=quantize, representative_data=x
        )
        sizes[quantize] = report.size
    assert sizes["dynamic"] < 0.4 * sizes[None]
    assert sizes["int8"] < 0.4 * sizes[None]


@pytest.mark.slow
def test_several_inputs_and_outputs(tmp_path):
    first, second = keras.Input((3,), name="first"), keras.Input((2,))
    hidden = layers.Dense(8, "relu")(layers.Concatenate()([first, second]))
    student = keras.Model(
        [first, second],
        {
            "digit": layers.Dense(3)(hidden),
            "traits": layers.Dense(2)(hidden),
            "hidden": hidden,
        },
    )
    heads = {"digit": "softmax", "traits": "sigmoid", "hidden": None}
    x, path = [normal(3), normal(2)], tmp_path / "student.tflite"
    for quantize, most in ((None, 1e-5), ("int8", 0.05)):
        report = kdtf.export_litert(
            student,
            path,
            head=heads,
            quantize=quantize,
            representative_data=x,
            overwrite=True,
        )
        found = run(path, {"first": x[0], "x": x[1]})
        z = {name: np.asarray(value) for name, value in student(x).items()}
        np.testing.assert_allclose(found["hidden"], z["hidden"], atol=0.1)
        expected = {
            "digit": reference.softmax(z["digit"]),
            "traits": 1 / (1 + np.exp(-z["traits"])),
        }
        chosen = {"digit": z["digit"].argmax(-1), "traits": z["traits"] > 0}
        assert set(report.agreement) == {"digit", "traits"}
        for name in expected:
            gap = np.abs(found[f"{name}_probabilities"] - expected[name])
            assert gap.max() < most
            assert report.largest_difference[name] == pytest.approx(
                gap.max(), abs=1e-6
            )
            same = np.mean(found[f"{name}_class"] == chosen[name])
            assert report.agreement[name] == pytest.approx(same)


@pytest.mark.slow
def test_a_distiller_and_an_ensemble(tmp_path):
    student, x = nets.linear(), nets.inputs()
    distiller = kdtf.Distiller(student, temperature=2.0, head="sigmoid")
    kdtf.export_litert(distiller, tmp_path / "parents" / "a.tflite")
    found = run(tmp_path / "parents" / "a.tflite", x)
    np.testing.assert_array_equal(found["class"], student(x).numpy() > 0)
    ensemble = kdtf.Ensemble([nets.deep(0), nets.deep(1)])
    kdtf.export_litert(ensemble, tmp_path / "b.tflite")
    found = run(tmp_path / "b.tflite", x)
    np.testing.assert_allclose(found["logits"], ensemble(x), atol=1e-5)


class Loop(keras.Model):
    """Whose loop would end the process if it were quantised."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, x):
        _, x = tf.while_loop(
            lambda i, x: i < 3, lambda i, x: (i + 1, 0.9 * x), (0, x)
        )
        return self.dense(x)


def test_a_loop_of_its_own(tmp_path):
    student, x = Loop(), nets.inputs()
    student(x)
    kdtf.export_litert(student, tmp_path / "a.tflite")
    found = run(tmp_path / "a.tflite", x)
    np.testing.assert_allclose(found["logits"], student(x), atol=1e-5)
    with pytest.raises(ValueError, match=r"`quantize` must be.*While"):
        kdtf.export_litert(
            student,
            tmp_path / "b.tflite",
            quantize="int8",
            representative_data=x,
        )
    assert os.listdir(tmp_path) == ["a.tflite"]


def words():
    return net(
        keras.Input((1,), dtype="string", name="words"),
        layers.StringLookup(vocabulary=["a"]),
        layers.Embedding(9, 4),
        layers.Flatten(),
    )


def looked_up():
    return net(
        keras.Input((2,), dtype="int64"),
        layers.IntegerLookup(vocabulary=[1, 2]),
        layers.Embedding(9, 4),
        layers.Flatten(),
    )


def decomposed():
    return net(
        keras.Input((3, 3)),
        layers.Lambda(lambda x: tf.linalg.svd(x, compute_uv=False)),
    )


def quantised():
    student = nets.linear()
    student.quantize("int8")
    return student


@pytest.mark.parametrize(
    ("make", "said"),
    (
        (words, "take numbers.*'words' of strings"),
        (looked_up, "consist of operations that LiteRT has.*HashTableV2"),
        (decomposed, "consist of operations that LiteRT has.*Received: .*Svd"),
        (
            lambda: net(keras.Input((None, 3)), layers.GRU(2)),
            r"have an input .*dimensions.*'x' of shape \(None, None, 3\)",
        ),
        (lambda: nets.linear(dtype="float64"), "compute in float32.*dense"),
        (quantised, r"be exported before student\.quantize.*dense"),
        (
            lambda: net(
                keras.Input((4, 3), batch_size=1), layers.GRU(2, stateful=True)
            ),
            "keep no state between examples.*gru",
        ),
        (
            lambda: keras.Sequential([layers.Dense(4)]),
            "be a Distiller or a built",
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((3,)), layers.Dense(4, "softmax")]
            ),
            "return logits",
        ),
    ),
)
@pytest.mark.filterwarnings("ignore:Layer InputLayer")
def test_students_that_are_not_for_devices(tmp_path, capfd, make, said):
    student = make()
    capfd.readouterr()
    with pytest.raises(
        ValueError, match=rf"(?s)^`distiller_or_student` must {said}"
    ):
        kdtf.export_litert(student, tmp_path / "a.tflite")
    assert capfd.readouterr().err == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("quantize", ("int4", "INT8", True, 8, ["int8"]))
def test_what_is_no_quantisation(tmp_path, quantize):
    with pytest.raises(ValueError, match=r"`quantize` must be None.*Received"):
        kdtf.export_litert(
            nets.linear(), tmp_path / "a.tflite", quantize=quantize
        )


def test_int8_without_data_or_with_wrong_ones(tmp_path):
    rule = "^`representative_data` must be"
    for data, said in ((None, "given"), (nets.inputs()[:, 1:], "float32")):
        with pytest.raises(ValueError, match=f"{rule} {said}.*Received"):
            kdtf.export_litert(
                nets.linear(),
                tmp_path / "a.tflite",
                quantize="int8",
                representative_data=data,
            )
    assert os.listdir(tmp_path) == []


def test_a_file_that_litert_cannot_run(tmp_path, monkeypatch):
    class Failing:
        def __init__(self, model_content):
            raise RuntimeError("kernels/div.cc:262 a zero\nmore of it")

    monkeypatch.setattr(_agreement, "interpreter_class", lambda: Failing)
    with pytest.raises(ValueError, match=r"`quantize` must be.*\(.*a zero\)"):
        kdtf.export_litert(
            nets.linear(),
            tmp_path / "a.tflite",
            representative_data=nets.inputs(),
        )
    assert os.listdir(tmp_path) == []


RUN_ALONE = """
import sys
for name in ("tensorflow", "keras", "kdtf"):
    sys.modules[name] = None
import numpy as np
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(sys.argv[1]).get_signature_runner()
x = np.load(sys.argv[2])
rows = [run(x=x[i:i+1])["logits"] for i in (0, 1)]
np.save(sys.argv[3], np.concatenate(rows))
"""


def test_on_a_device_without_tensorflow(tmp_path):
    student, x = nets.deep(), nets.inputs(2)
    names = ("student.tflite", "x.npy", "logits.npy")
    path, data, result = (tmp_path / name for name in names)
    kdtf.export_litert(student, path)
    np.save(data, x)
    command = [sys.executable, "-c", RUN_ALONE, path, data, result]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(result), student(x), atol=1e-5)


def test_without_the_interpreter(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"pip install ai-edge-litert"):
        kdtf.export_litert(
            nets.linear(),
            tmp_path / "a.tflite",
            representative_data=nets.inputs(),
        )
    assert os.listdir(tmp_path) == []
    kdtf.export_litert(nets.linear(), tmp_path / "a.tflite")


@pytest.mark.slow
def test_only_a_tflite_is_overwritten(tmp_path):
    path, x = tmp_path / "a.tflite", nets.inputs()
    kdtf.export_litert(nets.deep(0), path)
    with pytest.raises(ValueError, match=r"`path` must not exist, or `over"):
        kdtf.export_litert(nets.deep(1), path)
    kdtf.export_litert(nets.deep(1), path, overwrite=True)
    np.testing.assert_allclose(
        run(path, x)["logits"], nets.deep(1)(x), atol=1e-5
    )
    precious = tmp_path / "precious.txt"
    precious.write_text("thesis on knowledge")
    for other in (precious, tmp_path):
        with pytest.raises(ValueError, match=r"`path` must be a \.tflite to"):
            kdtf.export_litert(nets.deep(), other, overwrite=True)
    assert precious.read_text() == "thesis on knowledge"


@pytest.mark.slow
def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.tflite"
    kdtf.export_litert(nets.deep(0), path)
    before = path.read_bytes()
    with (
        disks.full(),
        pytest.raises(ValueError, match=r"^`path` must be.*make room"),
    ):
        kdtf.export_litert(nets.deep(1), path, overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.tflite"]
    with pytest.raises(ValueError, match=r"^`path` must be writable"):
        kdtf.export_litert(nets.deep(1), path / "b.tflite")
