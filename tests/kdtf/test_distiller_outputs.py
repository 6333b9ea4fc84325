"""Students of several outputs: each as if it were alone, and their sum."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import targets
from tests import nets, reference

ROWS = 24
T = {"kind": 3.0, "tags": 1.5}
SOFT = {"kind": 0.7, "tags": 0.4}
HARD = {"kind": 0.3, "tags": 0.6}
HEADS = {"kind": "softmax", "tags": "sigmoid"}
LOSS_WEIGHTS = {"kind": 1.0, "tags": 0.25}


def truth():
    y = nets.labels(ROWS, unlabelled=(2, 5))
    tags = np.random.default_rng(3).integers(0, 2, (ROWS, nets.TAGS))
    tags[7, 1] = -1
    return {"kind": y, "tags": tags.astype(np.float32)}


def settings():
    return {
        "temperature": T,
        "soft_weight": SOFT,
        "hard_weight": HARD,
        "head": HEADS,
    }


def expected_step(student, teacher, x, y, weights):
    """By hand: kernels after a step of SGD(0.5), and what is reported."""
    after, logs, total = {}, {}, 0.0
    for name in T:
        dense = student.get_layer(name)
        kernel, bias = (np.float64(w) for w in nets.values(dense))
        z = x @ kernel + bias
        v = np.asarray(teacher(x)[name], np.float64)
        t, ws, wh = T[name], SOFT[name], HARD[name]
        w = weights[name]
        if name == "kind":
            soft = reference.soft_loss(z, v, t)
            hard = reference.hard_loss(z, y[name])
            soft_gradient = reference.soft_gradient(z, v, t)
            hard_gradient = reference.hard_gradient(z, y[name])
            known = (y[name] >= 0).astype(float)
            shares = 1.0
            agree = (z.argmax(-1) == v.argmax(-1)).astype(float)
        else:
            soft = reference.binary_soft_loss(z, v, t).mean(-1)
            each = reference.binary_hard_loss(z, y[name])
            hard = each.mean(-1)
            soft_gradient = reference.binary_soft_gradient(z, v, t)
            hard_gradient = reference.binary_hard_gradient(z, y[name])
            known = (y[name] >= 0).mean(-1)
            shares = 1.0 / nets.TAGS
            agree = ((z > 0) == (v > 0)).mean(-1)
        both = ws * t * t * soft + wh * hard
        loss = (w * both).sum() / ROWS / (ws + wh)
        total += LOSS_WEIGHTS[name] * loss
        gradient = ws * t * t * soft_gradient + wh * hard_gradient
        gradient *= w[:, None] * LOSS_WEIGHTS[name] * shares / ROWS / (ws + wh)
        after[name] = [
            kernel - 0.5 * x.T @ gradient,
            bias - 0.5 * gradient.sum(0),
        ]
        logs[f"{name}_soft_loss"] = np.average(soft, weights=w)
        logs[f"{name}_hard_loss"] = (w * hard).sum() / (w * known).sum()
        logs[f"{name}_agreement"] = np.average(agree, weights=w)
    return after, {**logs, "loss": total}


@pytest.mark.parametrize(
    ("structure", "mode"),
    (
        (dict, "eager"),
        (dict, "graph"),
        (dict, "xla"),
        (dict, "steps"),
        (list, "graph"),
        (tuple, "steps"),
    ),
)
def test_one_step_is_the_sum_of_the_definitions(structure, mode):
    student, teacher = (
        nets.kind_and_tags(0, structure),
        nets.kind_and_tags(7, structure),
    )
    distiller = kdtf.Distiller(student, teacher, **settings())
    distiller.compile(
        keras.optimizers.SGD(0.5),
        loss_weights=LOSS_WEIGHTS,
        metrics={"kind": ["accuracy"], "tags": ["accuracy"]},
        run_eagerly=mode == "eager",
        jit_compile=mode in ("xla", "steps"),
        steps_per_execution=3 if mode == "steps" else 1,
    )
    x, y = nets.inputs(ROWS), truth()
    rng = np.random.default_rng(4)
    weights = {name: rng.uniform(0.5, 2.0, ROWS) for name in T}
    z = nets_by_name(student, x)
    after, logs = expected_step(
        student, lambda x: nets_by_name(teacher, x), x, y, weights
    )
    given, given_weights = y, weights
    if structure is not dict:
        given = structure(y[name] for name in T)
        given_weights = structure(weights[name] for name in T)
    found = distiller.fit(
        x, given, ROWS, sample_weight=given_weights, verbose=0
    ).history
    for name, values in after.items():
        dense = student.get_layer(name)
        for a, b in zip(nets.values(dense), values, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    right = (z["kind"].argmax(-1) == y["kind"])[y["kind"] >= 0].mean()
    logs["kind_accuracy"] = right
    assert "tags_accuracy" in found
    for name, value in logs.items():
        assert found[name][0] == pytest.approx(float(value), rel=1e-4), name


def nets_by_name(model, x):
    found = model(x)
    if not isinstance(found, dict):
        found = dict(zip(T, found, strict=True))
    return {name: np.asarray(each) for name, each in found.items()}


def test_one_value_is_for_all_outputs_and_each_can_be_assigned():
    distiller = kdtf.Distiller(
        nets.kind_and_tags(0),
        nets.kind_and_tags(7),
        temperature=2.0,
        head=HEADS,
        soft_weight=0.5,
    )
    assert set(distiller.temperature) == {"kind", "tags"}
    assert distiller.head == HEADS
    distiller.temperature["kind"].assign(5.0)
    distiller.soft_weight["tags"].assign(0.25)
    values = {n: float(v) for n, v in distiller.temperature.items()}
    assert values == {"kind": 5.0, "tags": 2.0}
    with pytest.raises(ValueError, match="temperature"):
        distiller.temperature["tags"].assign(-1.0)


def test_an_output_without_a_teacher_learns_from_its_labels():
    x = keras.Input((nets.FEATURES,))
    teacher = keras.Model(x, {"kind": keras.layers.Dense(nets.CLASSES)(x)})
    student = nets.kind_and_tags(0)
    with pytest.raises(ValueError, match=r"soft_weight` must be 0 for \['tags"):
        kdtf.Distiller(student, teacher, temperature=2.0, head=HEADS)
    distiller = kdtf.Distiller(
        student,
        teacher,
        temperature=2.0,
        head=HEADS,
        soft_weight={"kind": 0.9, "tags": 0.0},
    )
    distiller.compile("sgd")
    y = truth()
    logs = distiller.evaluate(nets.inputs(ROWS), y, verbose=0, return_dict=True)
    assert "tags_soft_loss" not in logs and "kind_soft_loss" in logs
    z = np.asarray(student(nets.inputs(ROWS))["tags"], np.float64)
    known = y["tags"] >= 0
    hard = reference.binary_hard_loss(z, y["tags"]).sum() / known.sum()
    assert logs["tags_hard_loss"] == pytest.approx(hard, rel=1e-4)
    history = distiller.fit(nets.inputs(ROWS), {"tags": y["tags"]}, verbose=0)
    assert "kind_hard_loss" not in history.history  # it has no labels
    with pytest.raises(ValueError, match=r"labels.*output 'tags'"):
        distiller.fit(nets.inputs(ROWS), {"kind": y["kind"]}, verbose=0)


@pytest.mark.slow
def test_a_teacher_an_output():
    """An ensemble teaches one of them, a function the other."""
    members = [nets.linear(7), nets.linear(8)]
    tags = nets.kind_and_tags(9)
    distiller = kdtf.Distiller(
        nets.kind_and_tags(0),
        {
            "kind": kdtf.Ensemble(members),
            "tags": lambda x: tags(x)["tags"],
        },
        temperature=2.0,
        head=HEADS,
    )
    distiller.compile("sgd")
    x = nets.inputs(ROWS)
    logs = distiller.evaluate(x, verbose=0, return_dict=True)
    z = nets_by_name(distiller.student, x)
    p = np.mean([reference.softmax(m(x), 2.0) for m in members], axis=0)
    q = reference.log_softmax(z["kind"], 2.0)
    soft = (p * (np.log(p) - q)).sum(-1).mean()
    assert logs["kind_soft_loss"] == pytest.approx(soft, rel=1e-4)
    v = np.asarray(tags(x)["tags"], np.float64)
    soft = reference.binary_soft_loss(np.float64(z["tags"]), v, 2.0).mean()
    assert logs["tags_soft_loss"] == pytest.approx(soft, rel=1e-4)


def test_stored_targets_of_each_output():
    """Also the top of one, which belongs to a temperature."""
    teacher, x, y = nets.kind_and_tags(7), nets.inputs(ROWS), truth()
    v = nets_by_name(teacher, x)
    stored = {
        "kind": {"labels": y["kind"], "teacher_logits": v["kind"]},
        "tags": {"labels": y["tags"], "teacher_logits": v["tags"]},
    }
    live = kdtf.Distiller(nets.kind_and_tags(0), teacher, **settings())
    from_store = kdtf.Distiller(nets.kind_and_tags(0), **settings())
    weights = np.linspace(0.5, 1.5, ROWS)
    for distiller, given in ((live, y), (from_store, stored)):
        distiller.compile(keras.optimizers.SGD(0.5))
        distiller.fit(
            x, given, 7, sample_weight=weights, shuffle=False, verbose=0
        )
    for a, b in zip(
        nets.values(live.student), nets.values(from_store.student), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    stored["kind"][targets.temperature_key(2.0)] = np.full(ROWS, 2.0)
    with pytest.raises(ValueError, match="`temperature` of the Distiller"):
        from_store.fit(x, stored, verbose=0)
    with pytest.raises(
        ValueError, match=r"teacher_logits for output '(kind|tags)'"
    ):
        from_store.fit(x, y, verbose=0)


def test_data_sets_and_class_weights():
    x, y = nets.inputs(ROWS), truth()
    by_class = {0: 3.0, 1: 0.5}
    one = np.array([by_class.get(c, 1.0) for c in y["kind"]])
    found = []
    for given, class_weight in (
        ((x, y), {"kind": by_class}),
        ((x, y, {"kind": one, "tags": np.ones(ROWS)}), None),
    ):
        distiller = kdtf.Distiller(
            nets.kind_and_tags(0), nets.kind_and_tags(7), **settings()
        )
        distiller.compile("sgd", jit_compile=False)
        data = tf.data.Dataset.from_tensor_slices(given).batch(10)
        distiller.fit(
            data,
            class_weight=class_weight,
            validation_data=data,
            epochs=2,
            verbose=0,
        )
        found.append(nets.values(distiller.student))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class Subclass(keras.Model):
    """A student that tells its outputs only when it is called."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.kind = keras.layers.Dense(nets.CLASSES)
        self.tags = keras.layers.Dense(nets.TAGS)

    def call(self, x):
        return {"kind": self.kind(x), "tags": self.tags(x), "x": x}


def test_a_subclass_and_an_output_that_is_not_trained():
    x, y = nets.inputs(ROWS), truth()
    heads = {**HEADS, "x": None}
    distiller = kdtf.Distiller(
        Subclass(), nets.kind_and_tags(7), temperature=2.0, head=heads
    )
    assert distiller.head == heads
    distiller.compile("sgd", metrics={"kind": ["accuracy"]})
    history = distiller.fit(x, y, verbose=0).history
    assert "kind_accuracy" in history and "x_soft_loss" not in history
    found = distiller.predict(x, verbose=0)
    assert set(found) == {"kind", "tags", "x"}
    np.testing.assert_array_equal(found["x"], x)
    unnamed = kdtf.Distiller(Subclass(), lambda x: x, temperature=2.0)
    unnamed.compile("sgd")
    with pytest.raises(ValueError, match=r"give `head` as a dict"):
        unnamed.fit(x, y, verbose=0)


def test_one_trained_output_needs_no_names():
    x, y = nets.inputs(ROWS), truth()
    distiller = kdtf.Distiller(
        nets.kind_and_tags(0),
        nets.linear(7),
        temperature=2.0,
        head={"kind": "softmax", "tags": None},
    )
    distiller.compile("sgd", metrics=["accuracy"])
    history = distiller.fit(x, y["kind"], validation_data=(x, y), verbose=0)
    assert {"accuracy", "soft_loss", "val_hard_loss"} <= set(history.history)


def test_metrics_without_names_may_be_as_many_as_outputs():
    x, y = nets.inputs(ROWS), truth()
    student = nets.kind_and_tags(0)
    distiller = kdtf.Distiller(
        student,
        nets.linear(7),
        temperature=2.0,
        head={"kind": "softmax", "tags": None},
    )
    top = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")
    distiller.compile("sgd", metrics=["accuracy", top])
    logs = distiller.evaluate(x, y["kind"], verbose=0, return_dict=True)
    order = np.argsort(-np.asarray(student(x)["kind"]), -1)
    known = y["kind"] >= 0
    right = (order == y["kind"][:, None])[known]
    assert logs["accuracy"] == pytest.approx(right[:, 0].mean())
    assert logs["top"] == pytest.approx(right[:, :2].any(-1).mean())


def test_it_is_saved_and_goes_on(tmp_path):
    x, y = nets.inputs(ROWS), truth()
    distiller = kdtf.Distiller(
        nets.kind_and_tags(0), nets.kind_and_tags(7), **settings()
    )
    distiller.compile("adam", metrics={"kind": ["accuracy"]})
    distiller.fit(x, y, verbose=0)
    distiller.temperature["tags"].assign(4.0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert float(loaded.temperature["tags"]) == 4.0
    with pytest.raises(ValueError, match="set_teacher"):
        loaded.fit(x, y, verbose=0)
    loaded.set_teacher(nets.kind_and_tags(7))
    for each in (distiller, loaded):
        each.fit(x, y, verbose=0, shuffle=False)
    for a, b in zip(
        nets.values(distiller.student), nets.values(loaded.student), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_compute_loss_gets_its_parts_by_output():
    seen = {}

    class Own(kdtf.Distiller):
        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            seen.update(y=y, y_pred=y_pred, weights=sample_weight)
            loss = super().compute_loss(x, y, y_pred, sample_weight)
            return loss + 0.0 * tf.reduce_mean(y_pred["kind"])

    distiller = Own(
        nets.kind_and_tags(0),
        nets.kind_and_tags(7),
        temperature=2.0,
        head=HEADS,
    )
    distiller.compile("sgd", run_eagerly=True)
    distiller.fit(nets.inputs(ROWS), truth(), verbose=0)
    assert set(seen["y"]) == set(seen["y_pred"]) == {"kind", "tags"}
    assert seen["y"]["tags"].labels.shape == (ROWS, nets.TAGS)
    assert seen["weights"] == {"kind": None, "tags": None}


def test_check_inputs_names_the_output():
    distiller = kdtf.Distiller(
        nets.kind_and_tags(0),
        nets.kind_and_tags(7),
        temperature=2.0,
        head=HEADS,
        check_inputs=True,
    )
    distiller.compile("sgd")
    y = truth()
    y["tags"][3, 0] = 2.0
    data = tf.data.Dataset.from_tensor_slices((nets.inputs(ROWS), y)).batch(2)
    with pytest.raises(ValueError, match=r"output 'tags' in batch 1, row \(1"):
        distiller.fit(data, verbose=0)
    with pytest.raises(ValueError, match=r"`labels`.*row \(3, 0\)"):
        distiller.fit(nets.inputs(ROWS), y, verbose=0)
