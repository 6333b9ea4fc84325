"""export_student: a SavedModel that needs TensorFlow alone."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import disks, nets, reference
from tests.exports import serve

NAMES = ["a", "b", "c", "d"]


@pytest.mark.parametrize("dropout", (0.0, 0.5))
def test_the_four_outputs(tmp_path, dropout):
    student, x = nets.deep(0, dropout=dropout), nets.inputs()
    logits = np.asarray(student(x, training=False))
    kdtf.export_student(student, tmp_path / "export", class_names=NAMES)
    for rows in (1, 12):  # the batch size is free
        served = serve(tmp_path / "export", x=x[:rows])
        assert set(served) == {"logits", "probabilities", "class", "class_name"}
        expected = logits[:rows]
        np.testing.assert_allclose(
            served["logits"], expected, rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            served["probabilities"], reference.softmax(expected), rtol=1e-5
        )
        choices = expected.argmax(-1)
        np.testing.assert_array_equal(served["class"], choices)
        by_name = [name.decode() for name in served["class_name"]]
        assert by_name == [NAMES[choice] for choice in choices]


LOAD_ALONE = """
import json, sys
sys.modules["keras"] = sys.modules["kdtf"] = None
import numpy as np
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
request = json.load(sys.stdin)
outputs = serve(x=tf.constant(request["instances"]))
rows = {key: value.numpy().tolist() for key, value in outputs.items()}
rows["trait_class_name"] = [
    name.decode() for [name] in rows["trait_class_name"]
]
answer = [dict(zip(rows, row)) for row in zip(*rows.values())]
dtypes = {key: value.dtype.name for key, value in outputs.items()}
print(json.dumps({"predictions": answer, "dtypes": dtypes}))
"""


@pytest.mark.slow
def test_a_request_where_keras_and_kdtf_cannot_be_imported(tmp_path):
    """As TensorFlow Serving answers it, by REST: a row for each example."""
    x = keras.Input((5,))
    hidden = keras.layers.Dense(3, "relu", dtype="mixed_bfloat16")(x)
    outputs = {
        "kind": keras.layers.Dense(4, dtype="mixed_bfloat16")(hidden),
        "trait": keras.layers.Dense(1)(hidden),
        "hidden": hidden,
    }
    heads = {"kind": "softmax", "trait": "sigmoid", "hidden": None}
    distiller = kdtf.Distiller(
        keras.Model(x, outputs), temperature=2.0, head=heads
    )
    kdtf.export_student(
        distiller, tmp_path / "1", class_names={"trait": ["no", "yes"]}
    )
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALONE, str(tmp_path / "1")],
        input=json.dumps({"instances": nets.inputs(3).tolist()}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    expected = serve(tmp_path / "1", x=nets.inputs(3))
    assert answer["dtypes"] == {
        "kind_logits": "float32",
        "kind_probabilities": "float32",
        "kind_class": "int64",
        "trait_logits": "float32",
        "trait_probabilities": "float32",
        "trait_class": "int64",
        "trait_class_name": "string",
        "hidden": "float32",
    }
    assert len(answer["predictions"]) == 3
    for i, row in enumerate(answer["predictions"]):
        assert row.pop("trait_class_name") == (
            "yes" if expected["trait_logits"][i, 0] > 0 else "no"
        )
        for key, value in row.items():
            np.testing.assert_allclose(value, expected[key][i], rtol=1e-5)


@pytest.mark.slow
def test_holds_the_students_variables_and_no_others(tmp_path):
    student = nets.deep(0)
    distiller = kdtf.Distiller(student, nets.deep(7), temperature=2.0)
    distiller.compile("adam")
    distiller.fit(nets.inputs(), nets.labels(), verbose=0)
    kdtf.export_student(distiller, tmp_path / "export")
    reader = tf.train.load_checkpoint(
        str(tmp_path / "export" / "variables" / "variables")
    )
    shapes = [
        shape
        for name, shape in reader.get_variable_to_shape_map().items()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    ]
    expected = [list(weight.shape) for weight in student.weights]
    assert sorted(shapes) == sorted(expected)


def test_several_inputs_and_time_frames(tmp_path):
    first = keras.Input((None, 3), name="first")
    second = keras.Input((None, 2), name="second")
    joined = keras.layers.Concatenate()([first, second])
    student = keras.Model(
        {"first": first, "second": second}, keras.layers.Dense(4)(joined)
    )
    kdtf.export_student(student, tmp_path / "export")
    x = {"first": np.ones((2, 6, 3), "f"), "second": np.ones((2, 6, 2), "f")}
    served = serve(tmp_path / "export", **x)
    assert served["class"].shape == (2, 6)
    np.testing.assert_allclose(served["logits"], student(x), rtol=1e-5)


class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4, dtype="mixed_bfloat16")

    def call(self, x):
        return self.dense(x)


def test_a_subclass_and_half_precision(tmp_path):
    student, x = Subclass(), nets.inputs()
    logits = student(x)
    assert logits.dtype == tf.bfloat16
    kdtf.export_student(student, tmp_path / "export", dtype=None)
    served = serve(tmp_path / "export", x=x)
    assert served["logits"].dtype == np.float32
    np.testing.assert_array_equal(served["logits"], tf.cast(logits, "float32"))


def test_a_fixed_batch_size(tmp_path):
    student, x = nets.deep(), nets.inputs(3)
    kdtf.export_student(student, tmp_path / "export", batch_size=3)
    served = tf.saved_model.load(str(tmp_path / "export"))
    signature = served.signatures["serving_default"]
    assert signature.structured_input_signature[1]["x"].shape == (3, 5)
    assert signature.structured_outputs["class"].shape == (3,)
    logits = signature(x=tf.constant(x))["logits"]
    np.testing.assert_allclose(logits, student(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", (0, -1, 2.0, True, "2"))
def test_what_is_no_batch_size(tmp_path, batch_size):
    with pytest.raises(ValueError, match=r"`batch_size` must be.*Received"):
        kdtf.export_student(
            nets.deep(), tmp_path / "export", batch_size=batch_size
        )


@pytest.mark.parametrize("dtype", ("float16", "bfloat16", "", 32))
def test_what_is_no_dtype_of_an_export(tmp_path, dtype):
    with pytest.raises(ValueError, match=r"`dtype` must be.*Received"):
        kdtf.export_student(nets.deep(), tmp_path / "export", dtype=dtype)


def test_an_existing_directory_is_refused_unless_overwritten(tmp_path):
    directory, x = tmp_path / "export", nets.inputs()
    old, new = nets.deep(0), nets.deep(1)
    kdtf.export_student(old, directory)
    with pytest.raises(ValueError, match=r"`directory`.*`overwrite` must be"):
        kdtf.export_student(new, directory)
    served = serve(directory, x=x)
    np.testing.assert_allclose(served["logits"], old(x), rtol=1e-4, atol=1e-5)
    kdtf.export_student(new, directory, overwrite=True)
    served = serve(directory, x=x)
    np.testing.assert_allclose(served["logits"], new(x), rtol=1e-4, atol=1e-5)
    assert os.listdir(tmp_path) == ["export"]


def test_only_a_saved_model_is_overwritten(tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("thesis")
    for directory in (tmp_path, precious):
        with pytest.raises(ValueError, match=r"has no saved_model\.pb"):
            kdtf.export_student(nets.deep(), directory, overwrite=True)
    assert precious.read_text() == "thesis"


def test_a_failure_leaves_the_old_export(tmp_path, monkeypatch):
    directory = tmp_path / "export"
    kdtf.export_student(nets.deep(0), directory)
    before = (directory / "saved_model.pb").read_bytes()

    def fail(module, path, signatures):
        pathlib.Path(path, "saved_model.pb").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(ValueError, match=r"`directory`.*No space left"):
        kdtf.export_student(nets.deep(1), directory, overwrite=True)
    assert (directory / "saved_model.pb").read_bytes() == before
    assert os.listdir(tmp_path) == ["export"]


def test_a_full_disk_is_a_sentence_of_its_own(tmp_path):
    """TensorFlow writes the variables, and has errors of its own."""
    with (
        disks.full(),
        pytest.raises(ValueError, match=r"^`directory`.*make room") as raised,
    ):
        kdtf.export_student(nets.deep(), tmp_path / "export")
    assert "function_node" not in str(raised.value)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"`directory` must be writable"):
        kdtf.export_student(nets.deep(), tmp_path / "file" / "export")


@pytest.mark.slow
def test_an_export_through_a_link_is_replaced_again_and_again(tmp_path):
    (tmp_path / "v1").mkdir()
    link = tmp_path / "current"
    link.symlink_to("v1/export")
    for seed in range(3):
        student, x = nets.deep(seed), nets.inputs()
        kdtf.export_student(student, link, overwrite=True)
        served = serve(link, x=x)
        np.testing.assert_allclose(
            served["logits"], student(x), rtol=1e-4, atol=1e-5
        )
        assert link.is_symlink()
        assert os.listdir(tmp_path / "v1") == ["export"]


@pytest.mark.parametrize("combine", ("arithmetic", "geometric"))
def test_an_ensemble_is_served_as_one_net(tmp_path, combine):
    members, x = [nets.deep(0), nets.deep(1)], nets.inputs()
    ensemble = kdtf.Ensemble(members, combine=combine, weights=[1, 3])
    kdtf.export_student(ensemble, tmp_path / "export", class_names=NAMES)
    served = serve(tmp_path / "export", x=x)
    logits = np.stack([np.asarray(m(x), np.float64) for m in members])
    if combine == "arithmetic":
        expected = 0.25 * reference.softmax(logits[0])
        expected += 0.75 * reference.softmax(logits[1])
    else:
        expected = reference.softmax(0.25 * logits[0] + 0.75 * logits[1])
    np.testing.assert_allclose(
        served["probabilities"], expected, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(served["class"], expected.argmax(-1))


def test_an_ensemble_with_too_few_names(tmp_path):
    ensemble = kdtf.Ensemble([nets.deep(0), nets.deep(1)])
    with pytest.raises(ValueError, match=r"`class_names` must be"):
        kdtf.export_student(ensemble, tmp_path / "e", class_names=["a"])


@pytest.mark.parametrize("names", (["a", "b"], "abcd", [1, 2, 3, 4]))
def test_class_names_must_be_one_per_class(tmp_path, names):
    with pytest.raises(ValueError, match=r"`class_names` must be 4.*Received"):
        kdtf.export_student(nets.deep(), tmp_path / "e", class_names=names)
    assert os.listdir(tmp_path) == []


def test_an_unbuilt_student_is_refused(tmp_path):
    student = keras.Sequential([keras.layers.Dense(4)])
    for model in (student, "student"):
        with pytest.raises(
            ValueError, match=r"a built keras.Model.*Received: "
        ):
            kdtf.export_student(model, tmp_path / "e")


@pytest.mark.parametrize("labels", (1, 3))
def test_a_sigmoid_head(tmp_path, labels):
    student = keras.Sequential(
        [keras.Input((5,), name="x"), keras.layers.Dense(labels)]
    )
    distiller = kdtf.Distiller(student, temperature=2.0, head="sigmoid")
    kdtf.export_student(
        distiller, tmp_path / "export", class_names=["no", "yes"]
    )
    served = tf.saved_model.load(str(tmp_path / "export"))
    x = tf.random.stateless_normal((6, 5), seed=(0, 0))
    outputs = served.signatures["serving_default"](x=x)
    z = student(x).numpy()
    np.testing.assert_allclose(outputs["logits"], z, rtol=1e-6)
    expected = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=1e-5)
    np.testing.assert_array_equal(outputs["class"], z > 0)
    names = np.where(z > 0, b"yes", b"no")
    np.testing.assert_array_equal(outputs["class_name"], names)
    kdtf.export_student(student, tmp_path / "bare", head="sigmoid")
    with pytest.raises(ValueError, match=r"`class_names` must be 2 strings"):
        kdtf.export_student(distiller, tmp_path / "n", class_names=["a"] * 3)
    with pytest.raises(ValueError, match=r"`head` must be.*sigmoid"):
        kdtf.export_student(distiller, tmp_path / "n", head="softmax")


def test_what_gives_no_logits_of_two_classes(tmp_path):
    one = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"two or more classes.*sigmoid"):
        kdtf.export_student(one, tmp_path / "export")
    ends = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(2, "softmax")]
    )
    with pytest.raises(ValueError, match=r"must return logits.*softmax"):
        kdtf.export_student(ends, tmp_path / "export")


class OwnTable(keras.layers.Layer):
    """A lookup table that is no layer of Keras's."""

    def __init__(self):
        super().__init__()
        entries = tf.lookup.KeyValueTensorInitializer(
            tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64)
        )
        self.table = tf.lookup.StaticHashTable(entries, 0)

    def call(self, x):
        return tf.ensure_shape(self.table.lookup(x), x.shape)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, "int64")


def vectorization():
    layer = keras.layers.TextVectorization(output_sequence_length=1)
    layer.adapt(["a b", "b c"])
    return layer


@pytest.mark.parametrize(
    "lookup",
    (
        lambda: keras.layers.StringLookup(vocabulary=["a", "b"]),
        vectorization,
        OwnTable,
    ),
)
def test_students_of_strings(tmp_path, lookup):
    student = keras.Sequential(
        [
            keras.Input((1,), dtype="string", name="words"),
            keras.Sequential([keras.Input((1,), dtype="string"), lookup()]),
            keras.layers.Embedding(9, 4),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    words = tf.constant([["a"], ["b"], ["c"]])
    expected = student(words)
    kdtf.export_student(student, tmp_path / "export")
    served = tf.saved_model.load(str(tmp_path / "export"))
    outputs = served.signatures["serving_default"](words=words)
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-6)
