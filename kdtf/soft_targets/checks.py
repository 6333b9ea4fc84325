"""What `SoftTargets.write` refuses before it writes anything."""

import keras
import tensorflow as tf

from kdtf import _atomic
from kdtf._math import arguments
from kdtf.ensemble import Ensemble
from kdtf.soft_targets import format as store_format


def require_options(dtype, top_k, views, augment, shards):
    """Raises ValueError if an option of `write` cannot be right."""
    if dtype not in store_format.DTYPES:
        raise ValueError(
            f"`dtype` must be one of {store_format.DTYPES}. "
            f"Received: dtype={dtype!r}"
        )
    counts = {"views": views, "shards": shards}
    if top_k is not None:
        counts["top_k"] = top_k
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. "
                f"Received: {name}={count!r}"
            )
    if views > 1 and augment is None:
        raise ValueError(
            "`augment` must be given for several views: without it they are "
            f"all the same. Received: views={views}, augment=None"
        )


def require_teacher(teacher, temperature, top_k):
    """Raises ValueError if a teacher or its temperature cannot be right."""
    if not isinstance(teacher, keras.Model):
        raise ValueError(
            "`teacher` must be a keras.Model, whose weights identify "
            f"it. Received: {teacher!r}"
        )
    if temperature is not None:
        arguments.check_temperature(temperature)
    elif depends_on_temperature(teacher, top_k):
        raise ValueError(
            "`temperature` must be given: the soft targets of an arithmetic "
            "ensemble, and those of `top_k`, depend on it. Received: "
            "temperature=None"
        )


def depends_on_temperature(teacher, top_k):
    """Whether the soft targets hold for the one temperature they are made at.

    Those of an arithmetic ensemble do, and so does the tail of `top_k`.
    """
    if isinstance(teacher, Ensemble) and teacher.combine == "arithmetic":
        return True
    return top_k is not None


def count_batches(dataset):
    """The number of batches; raises ValueError if it cannot be known."""
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            f"`dataset` must be a tf.data.Dataset. Received: {dataset!r}"
        )
    count = int(dataset.cardinality())
    if count < 1:
        what = {
            int(tf.data.INFINITE_CARDINALITY): "an infinite data set",
            int(tf.data.UNKNOWN_CARDINALITY): "one of unknown length (see "
            "`tf.data.experimental.assert_cardinality`)",
        }.get(count, "an empty one")
        raise ValueError(
            "`dataset` must be finite, of known length and not empty. "
            f"Received: {what}"
        )
    return count


def require_same(directory, before, now):
    """Raises ValueError if two `Identity`s differ, and names what does."""
    differing = [
        f"{name} {getattr(before, name)} there and {getattr(now, name)} now"
        for name in before.__dataclass_fields__
        if getattr(before, name) != getattr(now, name)
    ]
    if differing:
        raise ValueError(
            "`directory` must be another one for soft targets of another "
            "teacher, other data or other options: they are never overwritten. "
            "Delete it if they are not needed any more. "
            f"Received: {directory} with {', '.join(differing)}"
        )


def require_store_or_empty(directory):
    """Raises ValueError if a directory holds something else already."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ValueError(
            "`directory` must be a directory. "
            f"Received: {directory}, which is a file"
        )
    found = sorted(
        p.name
        for p in directory.iterdir()
        if not p.name.endswith(_atomic.SCRATCH)
    )
    if found and store_format.UNFINISHED not in found:
        raise ValueError(
            "`directory` must be new, empty, or hold soft targets. "
            f"Received: {directory}, which holds {found[:3]}"
        )
