"""kdtf._math.dynamic_shapes: what does not belong together fails."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf._math import dynamic_shapes

ROWS = np.arange(120, dtype=np.float32).reshape(8, 5, 3)


def product(specs, jit_compile):
    """A compiled product of two tensors that must have one shape."""

    @tf.function(jit_compile=jit_compile, autograph=False)
    def run(values, like):
        values = dynamic_shapes.require(
            values, like.shape, lambda: tf.shape(like), "values"
        )
        return tf.reduce_sum(values * like)

    return run.get_concrete_function(*map(tf.TensorSpec, specs))


@pytest.mark.parametrize("jit_compile", (False, True))
@pytest.mark.parametrize(
    "specs",
    (
        ([None, None, 3], [None, None, 3]),
        ([None, None, None], [None, None, 3]),
        # TensorFlow would take a mere reshape for proof that they are one.
        ([8, None, 3], [8, 5, 3]),
        ([8, 5, 3], [8, None, 3]),
    ),
)
def test_what_would_broadcast_fails(specs, jit_compile):
    run = product(specs, jit_compile)
    np.testing.assert_allclose(run(ROWS, ROWS), (ROWS * ROWS).sum(), rtol=1e-6)
    # As many time steps as there are of the other, or one that is repeated.
    one, other = (ROWS, ROWS[:, :1]) if specs[0][1] else (ROWS[:, :1], ROWS)
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        run(tf.constant(one), tf.constant(other))
    said = "requested shape has 0" if jit_compile else "`values` must have"
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("ours", "theirs"), (([1, 3], [None, 3]), ([None, 3], [1, 3]))
)
def test_a_batch_of_one_row_is_not_repeated(ours, theirs):
    rows = {1: ROWS[:1, 0], None: ROWS[:, 0]}
    with pytest.raises(tf.errors.InvalidArgumentError, match="`values` must"):
        product((ours, theirs), False)(
            tf.constant(rows[ours[0]]), tf.constant(rows[theirs[0]])
        )


@pytest.mark.parametrize("static", ([None, 3], [8, 3]))
def test_nothing_is_added_where_shapes_are_known(static):
    operations = []

    @tf.function(autograph=False)
    def run(values, like):
        found = dynamic_shapes.require(
            values, like.shape, lambda: tf.shape(like), "values"
        )
        operations.extend(tf.compat.v1.get_default_graph().get_operations())
        assert found is values
        return found

    run.get_concrete_function(*[tf.TensorSpec(static)] * 2)
    assert {each.type for each in operations} == {"Placeholder"}
