"""SpecialistEnsemble against float64, case by case, and in every place."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import specialists
from tests import nets, stores
from tests import reference as losses
from tests.kdtf.specialists import generalists, reference

CLASSES = generalists.CLASSES
SETS = [[4, 1, 6], [1, 2], [6], [0, 1, 2, 3, 4]]  # class 5 is in none
CORRECTIONS = [0.0, 1.5, -0.7, 0.0]


def perturbed(model, seed):
    """Weights that no other net has."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(size=weight.shape))
    return model


@functools.cache
def members(kind):
    """A generalist, inputs and specialists; the second has a full softmax."""
    generalist, x = generalists.of_kind(kind)
    found = []
    for i, (own, correction) in enumerate(zip(SETS, CORRECTIONS, strict=True)):
        one = specialists.specialist_of(generalist, own, full_softmax=i == 1)
        one.dustbin_correction = correction
        found.append(perturbed(one, i))
    return generalist, x, found


def ensemble(kind="Sequential", sets=None, **options):
    generalist, _, found = members(kind)
    chosen = found if sets is None else [found[i] for i in sets]
    return specialists.SpecialistEnsemble(generalist, chosen, **options)


def test_a_traced_program_sees_another_correction():
    generalist, x, [first, *_] = members("Sequential")
    model = specialists.SpecialistEnsemble(generalist, [first], top=6)
    call = tf.function(model)
    before, kept = call(x).numpy(), first.dustbin_correction
    first.dustbin_correction = kept + 3.0
    try:
        after = call(x).numpy()
        np.testing.assert_allclose(after, model(x), rtol=1e-5, atol=1e-5)
    finally:
        first.dustbin_correction = kept
    assert call.experimental_get_tracing_count() == 1
    # All cases call it; a higher logit of the dustbin lowers its own mass.
    own = [np.exp(z)[:, first.classes].sum(-1) for z in (before, after)]
    assert (own[1] < own[0]).all()


def inputs(count=40):
    return generalists.inputs(count=count, seed=7)


def expected(model, x):
    """log q `[cases, classes]` in float64, and how many were asked a case."""
    z = np.float64(model.generalist(x))
    own = [np.float64(s.corrected_logits(x)) for s in model.specialists]
    sets = [s.classes for s in model.specialists]
    log_q, counts = [], []
    for row, logits in enumerate(z):
        top = np.argsort(-logits)[: model.top]
        active = [m for m, each in enumerate(sets) if set(each) & set(top)]
        counts.append(len(active))
        case = reference.case(
            logits, [own[m][row] for m in active], active, sets
        )
        log_q.append(
            np.log(reference.fixed_point(*case)[0])
            if active
            else losses.log_softmax(logits)
        )
    return np.array(log_q), np.array(counts)


@pytest.mark.parametrize("top", [1, 2, 3])
@pytest.mark.parametrize("sets", [(0, 1, 2, 3), (0, 2), (1,), (2,)])
def test_equals_the_fixed_point_case_by_case(sets, top):
    model, x = ensemble(sets=sets, top=top), inputs()
    right, counts = expected(model, x)
    log_q = model(x)
    assert log_q.dtype == tf.float32 and log_q.shape == (40, CLASSES)
    np.testing.assert_allclose(losses.log_softmax(log_q), right, atol=2e-5)
    active = model.active_specialists(x).numpy()
    np.testing.assert_array_equal((active >= 0).sum(-1), counts)


def test_where_no_specialist_is_active_it_is_the_generalist():
    """Bit for bit."""
    model, x = ensemble(sets=(0, 2)), inputs()
    alone = model.generalist(x)
    is_alone = ~np.isin(np.argmax(alone, -1), [4, 1, 6])
    assert 0 < is_alone.sum() < len(x)
    np.testing.assert_array_equal(model(x)[is_alone], alone[is_alone])
    assert not np.isclose(model(x)[~is_alone], alone[~is_alone]).all()


@pytest.mark.parametrize("static_shapes", [False, True])
def test_batches_of_any_size(static_shapes):
    model, x = ensemble(static_shapes=static_shapes, top=2), inputs()
    whole = model(x).numpy()
    for rows in (slice(0), slice(3, 4), slice(5, 12)):
        np.testing.assert_allclose(model(x[rows]), whole[rows], atol=1e-5)
    one_by_one = [model(x[i : i + 1])[0] for i in range(8)]
    np.testing.assert_allclose(one_by_one, whole[:8], atol=1e-5)


@pytest.mark.parametrize("static_shapes", [False, True])
def test_a_batch_that_calls_nobody(static_shapes):
    model = ensemble(sets=(2,), static_shapes=static_shapes)
    x = inputs()
    alone = model.generalist(x).numpy()
    x, alone = x[alone.argmax(-1) != 6], alone[alone.argmax(-1) != 6]
    assert len(x)
    np.testing.assert_array_equal(model(x), alone)


@pytest.mark.slow
def test_static_shapes_under_xla(top=3):
    x = inputs()
    static = ensemble(top=top, static_shapes=True)
    compiled = tf.function(static, jit_compile=True)
    np.testing.assert_allclose(
        compiled(tf.constant(x)), ensemble(top=top)(x), atol=2e-5
    )


def test_only_active_specialists_run_on_their_cases():
    """Counted by nets that note what they are given."""
    seen = []

    class Noting(keras.layers.Layer):
        def call(self, x):
            tf.py_function(lambda n: seen.append(int(n)), [tf.shape(x)[0]], [])
            return x

    generalist, _, found = members("Sequential")
    given = keras.Input((5,))
    noting = [
        specialists.Specialist(
            keras.Model(given, found[i].net(Noting()(given))), SETS[i], CLASSES
        )
        for i in (0, 2)
    ]
    model, x = specialists.SpecialistEnsemble(generalist, noting), inputs()
    top = np.argmax(generalist(x), -1)
    calls = [np.isin(top, SETS[i]).sum() for i in (0, 2)]
    seen.clear()
    model(x)
    assert seen == [n for n in calls if n]
    seen.clear()
    model(x[~np.isin(top, SETS[0])])
    assert not seen
    static = specialists.SpecialistEnsemble(
        generalist, noting, static_shapes=True
    )
    seen.clear()
    static(x)
    assert seen == [40, 40]


# A loss that is a lambda may be saved, but is not loaded.
@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(generalists.ALL.keys() - {"compiled"}))
def test_generalists_of_every_kind(kind, tmp_path):
    """Called, in a graph, and saved and loaded."""
    _, x, found = members(kind)
    model = ensemble(kind, top=2)
    logits = model(x)
    wide = tf.float64 if kind == "float64" else tf.float32
    assert logits.dtype == wide and np.isfinite(logits).all()
    tolerance = 0.05 if "16" in kind or kind == "images" else 1e-5
    np.testing.assert_allclose(tf.function(model)(x), logits, atol=tolerance)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), logits, atol=1e-6)
    assert loaded.top == 2 and loaded.combination == model.combination
    digests = [each.generalist_digest for each in loaded.specialists]
    assert digests == [each.generalist_digest for each in found]
    # What is loaded is still known to belong together.
    specialists.SpecialistEnsemble(loaded.generalist, loaded.specialists)
    again = specialists.specialist_of(loaded.generalist, [0])
    assert again.generalist_digest == digests[0]


def test_nets_of_different_dtypes():
    generalist, x, found = members("images")
    one = generalists.of_kind("images")[0]
    exact = specialists.Specialist(
        specialists.specialist_of(one, [0, 5]).net, [0, 5], CLASSES
    )
    given = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten(dtype="float64")(given)
    wide = specialists.Specialist(
        keras.Model(given, keras.layers.Dense(3, dtype="float64")(flat)),
        [2, 3],
        CLASSES,
    )
    model = specialists.SpecialistEnsemble(generalist, [found[0], exact, wide])
    assert model(x).dtype == tf.float32


@pytest.mark.slow
def test_predict_evaluate_and_metrics():
    model, x = ensemble(top=2), inputs()
    right, _ = expected(model, x)
    y = np.random.default_rng(0).integers(0, CLASSES, 40)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, metrics=["accuracy"])
    found = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    assert found["accuracy"] == pytest.approx((right.argmax(-1) == y).mean())
    cross_entropy = -right[np.arange(40), y].mean()
    assert found["loss"] == pytest.approx(cross_entropy, rel=1e-4)
    np.testing.assert_allclose(
        losses.log_softmax(model.predict(x, batch_size=16, verbose=0)),
        right,
        atol=2e-5,
    )


def test_one_specialist_in_a_graph():
    """Where A = 1, TensorFlow loses sight of the size of an axis."""
    model, x = ensemble(sets=(2,)), inputs()
    np.testing.assert_allclose(tf.function(model)(x), model(x), atol=1e-6)


def test_it_does_not_train():
    model, x = ensemble(), inputs()
    before = nets.values(model)
    model.compile("sgd", keras.losses.MeanSquaredError())
    with pytest.raises(ValueError, match="No gradients"):
        model.fit(x, np.zeros((40, CLASSES)), verbose=0)
    np.testing.assert_array_equal(model(x, training=True), model(x))
    for old, new in zip(before, nets.values(model), strict=True):
        np.testing.assert_array_equal(old, new)


def student():
    return generalists.randomised(generalists.sequential(), seed=5)


def test_it_teaches_as_its_logits_do():
    """Live, and in `evaluate`: section 8."""
    model, x = ensemble(), inputs()
    y, results = np.arange(40) % CLASSES, []
    for live in (True, False):
        pupil = student()
        distiller = kdtf.Distiller(
            pupil, model if live else None, temperature=2.0
        )
        distiller.compile("sgd", jit_compile=False)
        logits = model.predict(x, verbose=0)
        targets = y if live else {"labels": y, "teacher_logits": logits}
        distiller.fit(x, targets, shuffle=False, verbose=0)
        scores = distiller.evaluate(x, targets, verbose=0, return_dict=True)
        results.append((scores, nets.values(pupil)))
    (live, weights), (given, others) = results
    assert live == pytest.approx(given, rel=1e-4)
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_stored_soft_targets(tmp_path):
    model, x = ensemble(), inputs(8)
    store = stores.write(tmp_path / "store", model, x, dtype="float32")
    _, targets = next(iter(store.join(x).batch(8)))
    np.testing.assert_allclose(
        losses.log_softmax(targets["teacher_logits"]),
        losses.log_softmax(model(x)),
        atol=1e-5,
    )
    stores.write(tmp_path / "store", ensemble(), x, dtype="float32")  # there


@pytest.mark.slow
@pytest.mark.parametrize("within", ["alone", "Ensemble", "keras.Model"])
def test_a_store_is_of_one_combination(tmp_path, within):
    """`top`, corrections and sets change the targets, but no weight."""

    def teacher(**options):
        made = ensemble(**options)
        if within == "Ensemble":
            return kdtf.Ensemble([made, student()], combine="geometric")
        if within == "keras.Model":
            given = keras.Input((5,))
            return keras.Model(given, made(given))
        return made

    stores.write(tmp_path / "store", teacher(), inputs(8))
    third = members("Sequential")[2][2]
    with pytest.raises(ValueError, match=r"`directory`.*teacher"):
        stores.write(tmp_path / "store", teacher(top=2), inputs(8))
    before, third.dustbin_correction = third.dustbin_correction, 3.0
    try:
        with pytest.raises(ValueError, match=r"`directory`.*teacher"):
            stores.write(tmp_path / "store", teacher(), inputs(8))
    finally:
        third.dustbin_correction = before
    stores.write(tmp_path / "store", teacher(static_shapes=True), inputs(8))


def test_metrics_of_kdtf():
    model, x = ensemble(), inputs()
    logits = model(x)
    metric = kdtf.metrics.FidelityKL()
    metric.update_state(logits, student()(x))
    kl = losses.soft_loss(student()(x), logits, 1.0).mean()
    assert float(metric.result()) == pytest.approx(kl, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Sequential", "two inputs", "images"])
def test_served_without_keras(tmp_path, kind):
    model, x = ensemble(kind), members(kind)[1]
    kdtf.export_student(model, tmp_path / "export")
    signature = tf.saved_model.load(tmp_path / "export").signatures[
        "serving_default"
    ]
    names = signature.structured_input_signature[1]
    x = x if isinstance(x, dict) else dict.fromkeys(names, x)
    for rows in (slice(None), slice(1)):
        some = {name: tf.constant(value[rows]) for name, value in x.items()}
        outputs = signature(**some)
        given = some if kind == "two inputs" else some[next(iter(names))]
        np.testing.assert_allclose(
            outputs["logits"], model(given), rtol=0.02, atol=1e-4
        )
        np.testing.assert_array_equal(
            outputs["class"], np.argmax(outputs["logits"], -1)
        )


def test_it_is_no_head_of_yes_and_no(tmp_path):
    with pytest.raises(ValueError, match="`head` must be None"):
        kdtf.export_student(ensemble(), tmp_path / "export", head="sigmoid")
    with pytest.raises(ValueError, match="`teacher` must have the head"):
        kdtf.Distiller(student(), ensemble(), temperature=2.0, head="sigmoid")


def test_as_a_member_of_an_ensemble():
    model, other, x = ensemble(top=2), student(), inputs()
    both = kdtf.Ensemble([model, other])
    p = (losses.softmax(model(x)) + losses.softmax(other(x))) / 2
    np.testing.assert_allclose(losses.softmax(both(x)), p, atol=1e-5)


def other_generalist():
    return generalists.randomised(generalists.sequential(), seed=9)


def test_specialists_of_another_generalist_are_refused():
    generalist, _, found = members("Sequential")
    with pytest.raises(ValueError, match=r"`specialists\[0\]` must be of this"):
        specialists.SpecialistEnsemble(other_generalist(), found)
    mine = generalists.randomised(generalists.sequential(), seed=3)
    one = specialists.specialist_of(mine, [0, 1])
    specialists.SpecialistEnsemble(mine, [perturbed(one, 1)])  # it may train
    mine.weights[0].assign(mine.weights[0] + 1e-3)  # the generalist may not
    with pytest.raises(ValueError, match="before it was trained on"):
        specialists.SpecialistEnsemble(mine, [one])
    one.generalist_digest = None
    specialists.SpecialistEnsemble(mine, [one])
    with pytest.raises(ValueError, match=r"`specialists\[1\]` must be of this"):
        specialists.SpecialistEnsemble(generalist, [found[0], made_of(mine)])


def made_of(generalist):
    return specialists.specialist_of(generalist, [0, 1])


def test_nets_that_share_variables_are_refused():
    """Keras could save them, but not load them again."""
    generalist, _, found = members("Sequential")
    with pytest.raises(ValueError, match=r"`specialists\[1\]` must share no"):
        specialists.SpecialistEnsemble(generalist, [found[0], found[0]])
    hidden = generalist.layers[0].output
    on_it = specialists.Specialist(
        keras.Model(generalist.inputs[0], keras.layers.Dense(3)(hidden)),
        [0, 1],
        CLASSES,
    )
    with pytest.raises(ValueError, match=r"`specialists\[0\]` must share no"):
        specialists.SpecialistEnsemble(generalist, [on_it])


def specialist_for(shape=(5,), num_classes=CLASSES):
    net = keras.Sequential([keras.Input(shape), keras.layers.Dense(3)])
    return specialists.Specialist(net, [0, 1], num_classes)


def a_model(*layers, shape=(5,)):
    return keras.Sequential([keras.Input(shape), *layers])


BAD = [
    ("generalist", lambda: None),
    ("generalist", lambda: keras.Sequential([keras.layers.Dense(CLASSES)])),
    ("generalist", lambda: a_model(keras.layers.Dense(CLASSES, "softmax"))),
    (
        "generalist",
        lambda: a_model(keras.layers.Dense(CLASSES), shape=(3, 5)),
    ),
    ("generalist", lambda: kdtf.Ensemble([a_model(keras.layers.Dense(7))])),
    *(
        ("specialists", functools.partial(lambda bad: bad, bad))
        for bad in ([], None, 3, "ab", [None], [1, 2], {}, iter([]))
    ),
    ("specialists", lambda: [a_model(keras.layers.Dense(3))]),
    ("specialists", lambda: specialist_for()),
    (r"specialists\[0\]", lambda: [specialist_for(num_classes=8)]),
    (r"specialists\[0\]", lambda: [specialist_for(shape=(6,))]),
    *(
        ("top", functools.partial(lambda bad: bad, bad))
        for bad in (0, -1, 8, 1.0, None, True, "1", [1])
    ),
    *(
        ("static_shapes", functools.partial(lambda bad: bad, bad))
        for bad in (None, 1, "yes")
    ),
]


@pytest.mark.parametrize(("name", "bad"), BAD)
def test_bad_arguments(name, bad):
    generalist, _, found = members("Sequential")
    given = {"generalist": generalist, "specialists": found}
    given[name.removesuffix(r"\[0\]")] = bad()
    with pytest.raises(ValueError, match=f"`{name}` must.*Received"):
        specialists.SpecialistEnsemble(**given)
