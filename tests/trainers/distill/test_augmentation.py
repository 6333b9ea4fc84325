"""trainers.distill.augmentation: cases by name and seed."""

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from trainers.distill import augmentation, cases

SEEDS = [tf.constant([k, 1]) for k in range(40)]
IMAGES = ("flip", "crop", "rotate", "zoom", "colour", "erase", "randaugment")
SOUND = ("noise", "shift", "mask")


def case(kind, channels=3):
    rng = np.random.default_rng(0)
    shape = {
        "images": (8, 6, channels),
        "sound": (20, 10, 1),
        "table": (4,),
        "arrays": (2, 3),
    }[kind]
    return tf.constant(rng.uniform(0, 255, shape), tf.float32)


def views(names, kind="images", x=None, **options):
    x = case(kind) if x is None else x
    augment = tf.function(augmentation.of_names(names, kind, **options))
    return np.stack([augment(x, seed) for seed in SEEDS])


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, name",
    [("images", name) for name in IMAGES] + [("sound", n) for n in SOUND],
)
def test_a_function_of_the_seed(kind, name):
    found = views([name], kind)
    np.testing.assert_array_equal(found, views([name], kind))
    assert found.dtype == np.float32 and np.isfinite(found).all()
    assert len({view.tobytes() for view in found}) > 1
    if kind == "images":
        assert found.min() >= -1e-3 and found.max() <= 255.001


@pytest.mark.parametrize("channels", (1, 3))
def test_all_at_once(channels):
    x = case("images", channels)
    augment = augmentation.of_names(IMAGES, "images")
    dataset = tf.data.Dataset.from_tensors(x).map(
        lambda x: augment(x, tf.constant([1, 2]))
    )
    assert dataset.element_spec.shape == (8, 6, channels)
    assert len(list(dataset)) == 1


def test_flips():
    x = case("images").numpy()
    found = views(["flip"])
    flipped = abs(found - x[:, ::-1]).max((1, 2, 3)) < 1e-3
    kept = abs(found - x).max((1, 2, 3)) < 1e-3
    assert (flipped ^ kept).all() and 10 <= flipped.sum() <= 30


def test_crops_stay_inside():
    """Of a ramp a view shows a ramp: less steep, and between its ends."""
    ramp = np.broadcast_to(np.arange(6.0)[None, :, None], (8, 6, 1))
    found = views(["crop:0.5"], x=tf.constant(ramp, tf.float32))[..., 0]
    steps = np.diff(found, axis=2)
    assert found.min() >= -1e-4 and found.max() <= 5.0001
    slopes = steps.mean((1, 2))
    np.testing.assert_allclose(
        steps, slopes[:, None, None] + 0 * steps, atol=1e-3
    )
    assert 0.5 <= slopes.min() < 0.6 and 0.9 < slopes.max() <= 1.0001


def test_zoom_and_rotation_keep_the_centre():
    x = np.zeros((7, 7, 1), np.float32)
    x[3, 3] = 200
    for name in ("zoom:0.5", "rotate:90", "flip"):
        found = views([name], x=tf.constant(x))
        np.testing.assert_allclose(found[:, 3, 3], 200, atol=1e-2)


def test_positions_change_in_one_go():
    """After a turn and a flip of a ramp one interpolation is left of both."""
    ramp = np.add.outer(np.arange(9.0), 2 * np.arange(9.0))[..., None]
    found = views(["rotate:5", "flip"], x=tf.constant(ramp, tf.float32))
    inner = found[:, 3:6, 3:6, 0]
    # Linear in, linear out: no second difference.
    assert abs(np.diff(inner, 2, axis=1)).max() < 1e-2
    assert abs(np.diff(inner, 2, axis=2)).max() < 1e-2


def either(found, some, others):
    """Whether each is one of two, and each of these is found."""
    first = abs(found - some).max((1, 2, 3)) < 0.1
    second = abs(found - others).max((1, 2, 3)) < 0.1
    return (first ^ second).all() and 10 <= first.sum() <= 30


def test_products_of_positions():
    """What is named first is done first to the image."""
    turned = views(["rotate:90"])
    both = views(["rotate:90", "flip"])
    assert either(both, turned, turned[:, :, ::-1])
    # Nearly no zoom, which takes the place of the flip among the seeds.
    names = ["zoom:0.000001", "crop:0.9"]
    x = case("images")
    cropped, of_flipped = views(names), views(names, x=x[:, ::-1])
    assert either(views(["flip", "crop:0.9"]), cropped, of_flipped)


def test_erased_areas():
    x = case("images").numpy()
    mean = x.mean((0, 1))
    gone = (views(["erase:0.5"]) != x).any(-1)
    assert gone.mean((1, 2)).max() <= 0.6 and gone.any((1, 2)).sum() > 20
    for view, lost in zip(views(["erase:0.5"]), gone, strict=True):
        rows, columns = np.flatnonzero(lost.any(1)), np.flatnonzero(lost.any(0))
        if len(rows):
            # A rectangle of the mean colour.
            assert lost[
                rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1
            ].all()
            np.testing.assert_allclose(
                view[lost], mean[None] + 0 * view[lost], rtol=1e-5
            )


def test_shifts_of_sound():
    x = case("sound").numpy()
    found = views(["shift:0.2"], "sound")
    by = []
    for view in found:
        fits = [
            k
            for k in range(-4, 5)
            if np.array_equal(
                view[max(k, 0) : 20 + min(k, 0)], x[max(-k, 0) : 20 - max(k, 0)]
            )
        ]
        assert len(fits) == 1
        [k] = fits
        free = view[:k] if k > 0 else view[20 + k :] if k else view[:0]
        assert (free == x.min()).all()
        by.append(k)
    assert min(by) < 0 < max(by)


def test_masks_of_sound():
    x = case("sound").numpy()
    for view in views(["mask:0.3"], "sound"):
        gone = (view != x)[..., 0]
        assert (view[gone] == x.mean()).all() or np.allclose(
            view[gone], x.mean()
        )
        times, bands = gone.all(1), gone.all(0)
        # Two stretches of at most 0.3 of 20 frames and 10 bands each.
        assert times.sum() <= 12 and bands.sum() <= 6
        np.testing.assert_array_equal(gone, times[:, None] | bands[None])


@pytest.mark.parametrize("kind", ("table", "arrays"))
def test_noise_by_deviations(kind):
    x = case(kind)
    deviations = np.zeros(x.shape, np.float32)
    deviations[-1] = 10.0
    found = views(["noise:0.5"], kind, deviations=deviations)
    found = found - x.numpy()
    assert (found[:, 0] == 0).all()
    assert 3.5 < found[:, -1].std() < 6.5  # 0.5 of 10


def test_deviations():
    rng = np.random.default_rng(0)
    x = rng.normal(1000, [1, 2, 3], (3000, 3)).astype(np.float32)
    x = np.append(x, rng.integers(2, size=(3000, 1)), 1).astype(np.float32)
    labels = np.zeros(3000, np.int32)
    dataset = tf.data.Dataset.from_tensor_slices((x, labels))
    split = cases.Split(dataset, labels)
    data = cases.Data("table", split, split, split, ("a", "b"))
    found = augmentation.deviations_of(data)
    assert found.dtype == np.float32 and found[3] == 0
    expected = x[:, :3].astype(np.float64).std(0)
    np.testing.assert_allclose(found[:3], expected, rtol=1e-5)


@pytest.mark.slow
def test_stored_soft_targets_take_them(tmp_path):
    """The store's views are the ones that `join` shows."""
    x = np.random.default_rng(0).uniform(0, 255, (6, 4, 4, 1))
    dataset = tf.data.Dataset.from_tensor_slices(
        (x.astype(np.float32), np.arange(6, dtype=np.int32))
    ).batch(3)
    augment = augmentation.of_names(["flip", "erase"], "images")
    store = kdtf.SoftTargets.write(
        tmp_path / "store",
        lambda x: tf.reduce_sum(x, 1)[..., 0],
        dataset,
        views=2,
        augment=augment,
        dtype="float32",
        fingerprint="sums",
    )
    seen = 0
    for view, y in store.join(dataset, augment=augment):
        # Logits are kept minus their largest.
        logits = tf.reduce_sum(view, 1)[..., 0].numpy()
        logits -= logits.max(1, keepdims=True)
        stored = y["teacher_logits"].numpy()
        stored = stored - stored.max(1, keepdims=True)
        np.testing.assert_allclose(stored, logits, atol=1e-2)
        seen += len(view)
    assert seen == 12


def test_nothing_to_do():
    assert augmentation.of_names([], "images") is None
    assert augmentation.of_names(["mixup:0.4"], "images") is None
    assert augmentation.mixup_of(["flip", "mixup:0.4"]) == 0.4
    assert augmentation.mixup_of(["mixup"]) == 0.2
    assert augmentation.mixup_of(["flip"]) is None


@pytest.mark.parametrize(
    "names, kind, message",
    (
        (["spin"], "images", "of images: flip, crop.*mixup. Received: .*spin$"),
        (["mask"], "images", "=mask, which is of sound$"),
        (["noise"], "images", "=noise, which is of sound and table and arrays"),
        (["flip"], "table", "of table: noise, mixup.*which is of images"),
        (["flip", "flip"], "images", "each way once. Received: flip twice"),
        (["rotate:x"], "images", "at most 180. Received: --augment=rotate:x"),
        (["rotate:0"], "images", "at most 180"),
        (["rotate:200"], "images", "at most 180"),
        (["rotate:nan"], "images", "at most 180"),
        (["flip:2"], "images", "must be alone"),
        (["randaugment:2:0.5:1"], "images", "at most 10, 1. "),
        (["randaugment:2.5"], "images", "whole"),
    ),
)
def test_names_that_cannot_be(names, kind, message):
    with pytest.raises(ValueError, match=f"^--augment.*{message}"):
        augmentation.of_names(names, kind)


def test_mixup():
    x = tf.constant(np.eye(4) * 100, tf.float32)
    y = tf.constant([0, 1, 2, -1])
    mixed, labels = augmentation.mixed(
        x, {"labels": y}, SEEDS[0], classes=3, alpha=0.5
    )
    weights = np.diag(mixed) / 100
    assert (weights >= 0.5).all() and (weights < 1).any()
    np.testing.assert_allclose(mixed.numpy().sum(1), 100, rtol=1e-5)
    # Each with the one before it; the first with the last, unlabelled one,
    # which itself has none.
    np.testing.assert_allclose(
        np.diag(np.roll(mixed, 1, 1)), 100 * (1 - weights), atol=1e-3
    )
    expected = np.zeros((4, 3))
    for k in (1, 2):
        expected[k, k], expected[k, k - 1] = weights[k], 1 - weights[k]
    np.testing.assert_allclose(labels["labels"], expected, atol=1e-5)
    again = augmentation.mixed(x, y, SEEDS[0], classes=3, alpha=0.5)
    np.testing.assert_array_equal(again[0], mixed)
    np.testing.assert_array_equal(again[1], labels["labels"])
    other, _ = augmentation.mixed(x, None, SEEDS[1], classes=3)
    assert (other != mixed).numpy().any()


def test_mixup_of_tiny_numbers():
    """Beta(0.001, 0.001) is near 0 or 1, and no NaN comes of it."""
    x = tf.zeros([1000, 2]) + tf.range(1000.0)[:, None]
    mixed, _ = augmentation.mixed(x, None, SEEDS[0], classes=2, alpha=0.001)
    assert np.isfinite(mixed).all()


def test_mixup_of_stored_targets():
    y = {"labels": tf.zeros([2], tf.int32), "teacher_logits": tf.zeros([2, 2])}
    with pytest.raises(ValueError, match=r"labels alone.*'teacher_logits'"):
        augmentation.mixed(tf.zeros([2, 2]), y, SEEDS[0], classes=2)


def test_help():
    text = augmentation.help_text()
    for name in (*IMAGES, *SOUND, "mixup"):
        assert name in text
