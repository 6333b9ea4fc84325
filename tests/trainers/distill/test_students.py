"""trainers.distill.students: nets by name, and those of files."""

import keras
import numpy as np
import pytest

from tests.distill_cases import arrays, data_of
from trainers.distill import students


@pytest.mark.parametrize(
    ("kind", "spec", "parameters"),
    (
        ("table", "mlp:7,4", 5 * 7 + 7 + 7 * 4 + 4 + 4 * 3 + 3),
        # Kernels, gamma and beta of each, and the last layer.
        ("images", "cnn:2,4", 9 * 2 + 2 * 2 + 9 * 2 * 4 + 2 * 4 + 4 * 3 + 3),
        ("sound", "cnn:2", 9 * 2 + 2 * 2 + 2 * 3 + 3),
    ),
)
def test_nets_by_name(kind, spec, parameters):
    data = data_of(kind)
    students.check("student", spec, data)
    net = students.build("student", spec, data, 3, seed=0)
    assert net.input_shape == (None, *data.input_shape)
    assert net.output_shape == (None, 3)
    trainable = sum(int(np.prod(w.shape)) for w in net.trainable_weights)
    assert trainable == parameters


@pytest.mark.parametrize("kind", ("images", "sound", "table"))
def test_inputs_are_brought_to_unit_size(kind):
    """Whatever their unit: the first weights see values of about 1."""
    data = data_of(kind)
    net = students.build("student", "mlp:4", data, 3, seed=0)
    scale = next(
        layer
        for layer in net.layers
        if isinstance(
            layer, keras.layers.Rescaling | keras.layers.Normalization
        )
    )
    x, _ = arrays(data.train)
    scaled = np.asarray(scale(x))
    if kind == "images":
        np.testing.assert_allclose(scaled, x / 127.5 - 1, atol=1e-6)
    elif kind == "table":
        np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(scaled.std(0), 1, atol=1e-3)
    else:  # a mean and a deviation for each band, over all frames
        np.testing.assert_allclose(scaled.mean((0, 1)), 0, atol=1e-5)
        np.testing.assert_allclose(scaled.std((0, 1)), 1, atol=1e-3)


def test_a_seed_gives_the_weights():
    data = data_of("table")
    first, again, other = (
        students.build("student", "mlp:4", data, 3, seed=seed).get_weights()
        for seed in (1, 1, 2)
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def softmax_net(shape=(5,)):
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Dense(4, "relu"),
            keras.layers.Dense(3, "softmax"),
        ]
    )


def test_a_file_gives_its_architecture_and_no_softmax(tmp_path):
    path = str(tmp_path / "student.keras")
    model = softmax_net()
    model.save(path)
    data = data_of("table")
    x, _ = arrays(data.test)
    fresh = students.build("student", path, data, 3, seed=0)
    kept = students.build("student", path, data, 3, seed=0, keep_weights=True)
    assert [w.shape for w in fresh.weights] == [w.shape for w in model.weights]
    assert not np.allclose(fresh.weights[0], model.weights[0])
    first, again, other = (
        students.build("student", path, data, 3, seed=seed).get_weights()[0]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    # As the saved one: log-probabilities, but for a constant of each case.
    gap = np.asarray(kept(x)) - np.log(np.asarray(model(x)))
    np.testing.assert_allclose(gap, gap[:, :1].repeat(3, 1), atol=1e-5)
    # Nor does training one seed's student change where another's begins.
    begun = kept.get_weights()
    kept.set_weights([w + 1 for w in begun])
    again = students.build("student", path, data, 3, seed=1, keep_weights=True)
    for one, two in zip(again.get_weights(), begun, strict=True):
        np.testing.assert_array_equal(one, two)


def net_of_parts(x):
    """Normalization in a model and in a wrapper, and a frozen layer."""
    scales = keras.layers.Normalization(), keras.layers.Normalization(axis=None)
    scales[0].adapt(x)
    scales[1].adapt(x)
    frozen = keras.layers.Dense(4, "relu")
    frozen.trainable = False
    inputs = keras.Input(x.shape[1:])
    body = keras.Sequential([scales[0], frozen])
    steps = keras.layers.Reshape((-1, 1))(inputs)
    steps = keras.layers.TimeDistributed(scales[1])(steps)
    both = [body(inputs), keras.layers.Flatten()(steps)]
    joined = keras.layers.Concatenate()(both)
    return keras.Model(inputs, keras.layers.Dense(3)(joined))


def test_what_is_not_trained_is_kept_where_weights_are_new(tmp_path):
    data = data_of("table")
    x, _ = arrays(data.train)
    x = 1000 + 50 * x
    model = net_of_parts(x)
    path = str(tmp_path / "student.keras")
    model.save(path)
    kept = students.build("student", path, data, 3, seed=0, keep_weights=True)
    np.testing.assert_allclose(kept(x), model(x), atol=1e-4)
    fresh = students.build("student", path, data, 3, seed=0)
    before, after = (
        keras.Model(net.input, net.layers[-1].input)(x)
        for net in (model, fresh)
    )
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert np.abs(np.asarray(after)).max() < 20  # and not about 1000
    assert len(fresh.trainable_weights) == 2
    assert not np.allclose(fresh.layers[-1].kernel, model.layers[-1].kernel)


def test_a_file_in_a_folder_with_a_colon(tmp_path):
    folder = tmp_path / "10:30"
    folder.mkdir()
    assert students.is_file(str(folder)) and students.is_file("10:30/s.keras")
    assert not students.is_file("mlp:8,4")


def test_an_architecture_of_keras_scales_its_pixels_itself(monkeypatch):
    """0 to 255 come in, and what the family wants reaches its first layer."""
    seen = {}

    def tiny(*, weights, input_shape, classes, classifier_activation):
        seen.update(weights=weights, activation=classifier_activation)
        inputs = keras.Input(input_shape)
        x = keras.layers.GlobalAveragePooling2D()(inputs)
        return keras.Model(inputs, keras.layers.Dense(classes)(x))

    tiny.__module__ = "keras.applications.mobilenet_v2"
    monkeypatch.setattr(keras.applications, "MobileNetV2", tiny)
    data = data_of("images")
    net = students.build("student", "mobilenet_v2", data, 3, seed=0)
    assert seen == {"weights": None, "activation": None}
    x, _ = arrays(data.test)
    pixels = (x / 127.5 - 1).mean((1, 2))  # from -1 to 1
    kernel, bias = net.get_weights()
    np.testing.assert_allclose(net(x), pixels @ kernel + bias, atol=1e-4)


@pytest.mark.parametrize("spec", ("mobilenet_v2:wide", "inception_v3"))
def test_an_architecture_that_cannot_take_the_images(spec):
    """No such alpha, and images that are too small: what Keras says, named."""
    with pytest.raises(ValueError, match=r"^--teacher must be an archi") as e:
        students.build("teacher", spec, data_of("images"), 3, seed=0)
    assert f"--teacher={spec}" in str(e.value)


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    (
        ("table", "mlp:", "positive whole numbers between commas"),
        ("table", "mlp:8,-1", "positive whole numbers between commas"),
        ("table", "cnn:8", "must be an mlp"),
        ("images", "cnn:2,4,8,16,32", "no more convolutions"),
        ("images", "resnet51", "or an architecture of keras.applications"),
        ("table", "mobilenet_v2", "must be an mlp or a cnn"),
    ),
)
def test_names_that_cannot_be(kind, spec, said):
    with pytest.raises(ValueError, match=r"^--student must") as caught:
        students.check("student", spec, data_of(kind))
    assert said in str(caught.value) and f"--student={spec}" in str(
        caught.value
    )
