"""Specialist: a net for the classes of a set and a dustbin."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import specialists
from tests import nets, reference
from tests.kdtf.specialists import generalists

OWN = [4, 1, 6]
OTHERS = [0, 2, 3, 5]


def specialist(kind="Sequential", **options):
    generalist, x = generalists.of_kind(kind)
    return specialists.specialist_of(generalist, OWN, **options), x


def of_classes(count):
    given = keras.Input((5,))
    return keras.Model(given, keras.layers.Dense(count)(given))


@keras.saving.register_keras_serializable("tests")
class Subclass(keras.Model):
    """Tells the number of its outputs only when it is called."""

    def __init__(self, count=4, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(count)
        self.build((None, 5))

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        return self.dense(inputs)


def test_it_is_its_net():
    net, x = of_classes(4), generalists.inputs()
    made = specialists.Specialist(net, np.uint8(OWN), np.int64(7), name="some")
    np.testing.assert_array_equal(made(x), net(x))
    np.testing.assert_array_equal(made.predict(x, verbose=0), net(x))
    assert made.classes == OWN and made.name == "some"
    assert made.output_shape == (None, 4) and made.built
    assert made.dustbin_correction == 0.0 and made.generalist_digest is None


def test_a_net_that_is_a_subclass():
    x = generalists.inputs()
    made = specialists.Specialist(Subclass(4), OWN, 7)
    assert made(x).shape == (6, 4)
    wrong = specialists.Specialist(Subclass(5), OWN, 7)
    for call in (wrong, wrong.corrected_logits):
        with pytest.raises(ValueError, match=r"`net` must.*4\].*shape \(6, 5"):
            call(x)


@pytest.mark.parametrize("full_softmax", [False, True])
def test_corrected_logits(full_softmax):
    """Of all logits, the correction is on those outside of the set."""
    made, x = specialist(full_softmax=full_softmax)
    z = np.float64(made(x))
    if full_softmax:
        total = np.log(np.exp(z[:, OTHERS]).sum(-1, keepdims=True))
        z = np.concatenate([z[:, OWN], total], axis=1)
    np.testing.assert_allclose(made.corrected_logits(x), z, atol=1e-6)
    made.dustbin_correction = np.float32(1.5)
    z[:, -1] += 1.5
    np.testing.assert_allclose(made.corrected_logits(x), z, atol=1e-6)
    assert made.corrected_logits(x).dtype == tf.float32


def test_the_set_and_the_dustbin_are_all_classes():
    """Of a full softmax nothing is lost by summing what is outside."""
    made, x = specialist(full_softmax=True)
    p = reference.softmax(made(x))
    found = reference.softmax(made.corrected_logits(x))
    np.testing.assert_allclose(found[:, :3], p[:, OWN], rtol=1e-5)
    np.testing.assert_allclose(found[:, 3], p[:, OTHERS].sum(-1), rtol=1e-5)


def test_corrections_of_huge_logits_are_finite():
    made, x = specialist(full_softmax=True)
    for weight in made.weights:
        weight.assign(weight * 1e6)
    assert np.isfinite(made.corrected_logits(x)).all()


def test_labels_are_places_among_the_corrected_logits():
    made, _ = specialist()
    np.testing.assert_array_equal(
        made.labels_of(np.uint8([[0, 1, 2], [4, 6, 5]])),
        [[3, 1, 3], [0, 2, 3]],
    )
    assert made.labels_of(np.zeros(0, int)).shape == (0,)
    for bad in ([-1], [7], [0.0], None, "0"):
        with pytest.raises(ValueError, match=r"`labels` must be.*to 6.*Rec"):
            made.labels_of(bad)


@pytest.mark.parametrize("kind", ["images", "two inputs", "words", "bfloat16"])
@pytest.mark.parametrize("full_softmax", [False, True])
def test_saved_and_loaded(tmp_path, kind, full_softmax):
    made, x = specialist(kind, full_softmax=full_softmax, name="some")
    made.dustbin_correction = 0.7
    made.save(tmp_path / "specialist.keras")
    loaded = keras.saving.load_model(tmp_path / "specialist.keras")
    np.testing.assert_array_equal(
        loaded.corrected_logits(x), made.corrected_logits(x)
    )
    assert loaded.generalist_digest == made.generalist_digest
    assert (loaded.name, loaded.classes) == ("some", OWN)


def test_of_a_subclass_saved_and_loaded(tmp_path):
    made = specialists.Specialist(Subclass(4), OWN, 7)
    made.save(tmp_path / "specialist.keras")
    loaded = keras.saving.load_model(tmp_path / "specialist.keras")
    x = generalists.inputs()
    np.testing.assert_array_equal(loaded(x), made(x))


def test_files_of_weights_hold_the_correction(tmp_path):
    net, x = specialist()
    net.dustbin_correction = -1.5
    net.save_weights(tmp_path / "n.weights.h5")
    other, _ = specialist()
    other.dustbin_correction = 0.25
    other.load_weights(tmp_path / "n.weights.h5")
    assert other.dustbin_correction == -1.5
    np.testing.assert_array_equal(
        other.corrected_logits(x), net.corrected_logits(x)
    )


def test_files_of_weights_from_before_they_held_it(tmp_path, monkeypatch):
    net, _ = specialist()
    net.dustbin_correction = -1.5
    with monkeypatch.context() as patch:
        patch.delattr(specialists.Specialist, "save_own_variables")
        net.save_weights(tmp_path / "n.weights.h5")
    other, _ = specialist()
    other.dustbin_correction = 0.25
    other.load_weights(tmp_path / "n.weights.h5")
    assert other.dustbin_correction == 0.25


def test_exported_alone(tmp_path):
    made, x = specialist("two inputs")
    kdtf.export_student(made, tmp_path / "export")
    served = tf.saved_model.load(tmp_path / "export")
    signature = served.signatures["serving_default"]
    outputs = signature(**{k: tf.constant(v) for k, v in x.items()})
    np.testing.assert_allclose(outputs["logits"], made(x), atol=1e-6)


def data(count=400):
    """Labels that the first of five features tells, and inputs."""
    x = generalists.inputs(count=count)
    return x, np.digitize(x[:, 0], [-1, -0.5, -0.2, 0.2, 0.5, 1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "mixed_bfloat16"])
@pytest.mark.parametrize("full_softmax", [False, True])
def test_trained_by_plain_keras(dtype, full_softmax):
    keras.config.set_dtype_policy(dtype)
    try:
        generalist = generalists.randomised(generalists.sequential())
    finally:
        keras.config.set_dtype_policy("float32")
    before = nets.values(generalist)
    made = specialists.specialist_of(generalist, OWN, full_softmax=full_softmax)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Adam does not learn in bfloat16, which has no 0.999.
    made.compile(keras.optimizers.SGD(0.2), loss, jit_compile=False)
    batches = specialists.training_set(
        data(), OWN, batch_size=50, seed=0, dustbin=not full_softmax
    )
    first, last = (
        made.fit(batches, steps_per_epoch=steps, verbose=0).history
        for steps in (1, 40)
    )
    assert last["loss"][0] < 0.95 * first["loss"][0]
    for old, new in zip(before, nets.values(generalist), strict=True):
        np.testing.assert_array_equal(old, new)


def test_one_step_is_that_of_its_net_alone():
    x, y = data(32)
    results = []
    for wrapped in (True, False):
        made, _ = specialist()
        model = made if wrapped else made.net
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, jit_compile=False)
        model.fit(x, made.labels_of(y), shuffle=False, verbose=0)
        results.append(nets.values(model))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "mixed_bfloat16"])
def test_a_full_softmax_learns_from_the_generalist(dtype):
    """Section 6.1: soft targets, by a Distiller, on a training set."""
    generalist = generalists.randomised(generalists.sequential())
    keras.config.set_dtype_policy(dtype)
    try:
        copy = generalists.randomised(generalists.sequential(), seed=2)
    finally:
        keras.config.set_dtype_policy("float32")
    made = specialists.specialist_of(copy, OWN, full_softmax=True)
    distiller = kdtf.Distiller(made, generalist, temperature=2.0)
    distiller.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    batches = specialists.training_set(
        data(), OWN, batch_size=50, seed=0, dustbin=False
    )
    first, last = (
        distiller.fit(batches, steps_per_epoch=steps, verbose=0).history
        for steps in (1, 40)
    )
    assert last["soft_loss"][0] < first["soft_loss"][0]
    assert distiller.student is made


def test_a_distiller_trains_on_labels_with_the_dustbin():
    made, _ = specialist()
    distiller = kdtf.Distiller(
        made, temperature=1.0, soft_weight=0.0, hard_weight=1.0
    )
    distiller.compile(keras.optimizers.Adam(0.05), jit_compile=False)
    batches = specialists.training_set(data(), OWN, batch_size=50, seed=0)
    first, last = (
        distiller.fit(batches, steps_per_epoch=steps, verbose=0).history
        for steps in (1, 40)
    )
    assert last["hard_loss"][0] < 0.8 * first["hard_loss"][0]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("net", None),
        ("net", lambda x: x),
        ("net", of_classes(3)),
        ("net", of_classes(7)),
        ("net", keras.Sequential([keras.layers.Dense(4)])),
        (
            "net",
            keras.Sequential(
                [keras.Input((5,)), keras.layers.Dense(4, "softmax")]
            ),
        ),
        (
            "net",
            keras.Sequential([keras.Input((3, 5)), keras.layers.Dense(4)]),
        ),
        *(("classes", c) for c in ([], [7], [-1], [1, 1], range(7), None, 1.5)),
        *(("num_classes", n) for n in (None, 1, 7.0, True, "7")),
        *(("full_softmax", f) for f in (1, None, "yes")),
        *(
            ("dustbin_correction", c)
            for c in (np.nan, np.inf, None, "1", [1.0], 1j)
        ),
        *(("generalist_digest", d) for d in (1, b"12", ["12"])),
    ],
)
def test_bad_arguments(name, bad):
    given = {"net": of_classes(4), "classes": OWN, "num_classes": 7, name: bad}
    with pytest.raises(ValueError, match=f"`{name}` must.*Received"):
        specialists.Specialist(**given)


def test_a_bad_correction_leaves_the_one_before():
    made, _ = specialist()
    made.dustbin_correction = 2
    with pytest.raises(ValueError, match="`dustbin_correction` must be a fin"):
        made.dustbin_correction = np.nan
    assert made.dustbin_correction == 2.0
