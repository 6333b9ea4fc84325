"""kdtf._training.strategy_checks: what a strategy needs, refused by name."""

import warnings
from unittest import mock

import keras
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import strategy_checks
from tests import nets


def distiller_of(student, **options):
    teacher = nets.deep(7, width=32)
    distiller = kdtf.Distiller(student, teacher, temperature=2.0)
    distiller.compile(**{"optimizer": "sgd", **options})
    return distiller


def test_a_student_from_outside_is_refused(mirrored_strategy):
    student = nets.linear(0)
    with (
        mirrored_strategy.scope(),
        pytest.raises(ValueError, match=r"`student` must be.*scope.*no strat"),
    ):
        distiller_of(student)


def test_a_distiller_outside_is_refused(mirrored_strategy):
    with mirrored_strategy.scope():
        student = nets.linear(0)
    with pytest.raises(ValueError, match=r"`student`.*is of MirroredStrategy"):
        distiller_of(student)


def test_a_student_that_is_built_elsewhere_is_refused(mirrored_strategy):
    """It has no weights yet when the Distiller is made."""
    student = keras.Sequential([keras.layers.Dense(nets.CLASSES)])
    with mirrored_strategy.scope():
        distiller = distiller_of(student)
    student.build((None, nets.FEATURES))
    with pytest.raises(ValueError, match="`student` must be built in the sco"):
        distiller.fit(nets.inputs(), nets.labels(), verbose=0)


def test_fit_in_a_scope_that_is_not_the_distillers_is_refused(
    mirrored_strategy,
):
    distiller = distiller_of(nets.linear(0))
    with (
        mirrored_strategy.scope(),
        pytest.raises(ValueError, match="`student` must be built in the sco"),
    ):
        distiller.fit(nets.inputs(), nets.labels(), verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        (
            lambda: {"optimizer": keras.optimizers.SGD()},
            "`optimizer` must be made in the scope.*SGD",
        ),
        (
            lambda: {"metrics": [keras.metrics.Mean(name="own")]},
            "`metrics` must be made in the scope.*'own'",
        ),
        (
            lambda: {"weighted_metrics": [kdtf.metrics.Agreement()]},
            "`metrics` must be made in the scope.*'agreement'",
        ),
    ),
)
def test_parts_from_outside_are_refused(mirrored_strategy, options, message):
    given = options()
    with (
        mirrored_strategy.scope(),
        pytest.raises(ValueError, match=message),
    ):
        distiller_of(nets.linear(0), **given)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        (lambda: {"jit_compile": True}, "`jit_compile` must be False or"),
        (
            lambda: {
                "optimizer": keras.optimizers.SGD(gradient_accumulation_steps=2)
            },
            "`optimizer` must not accumulate.*gradient_accumulation_steps=2",
        ),
        (
            lambda: {
                "optimizer": keras.optimizers.LossScaleOptimizer(
                    keras.optimizers.SGD(gradient_accumulation_steps=2)
                )
            },
            "`optimizer` must not accumulate",
        ),
    ),
)
def test_what_replicas_cannot_do_is_refused(
    mirrored_strategy, options, message
):
    with (
        mirrored_strategy.scope(),
        pytest.raises(ValueError, match=message),
    ):
        distiller_of(nets.linear(0), **options())
    distiller_of(nets.linear(0), **options())  # one process can


@pytest.mark.slow
def test_names_outside_of_the_scope_are_made_inside(mirrored_strategy):
    with mirrored_strategy.scope():
        distiller = kdtf.Distiller(
            nets.linear(0), nets.linear(7), temperature=2.0
        )
    distiller.compile("adam", metrics=["accuracy"])
    distiller.fit(nets.inputs(), nets.labels(), verbose=0)
    made = [*distiller.optimizer.variables, *distiller.metrics[1].variables]
    assert len(made) > 4
    in_scope = mirrored_strategy.extended.variable_created_in_scope
    assert all(in_scope(variable.value) for variable in made)


def test_statistics_of_each_replica_are_warned_of(mirrored_strategy):
    def student(**options):
        return keras.Sequential(
            [
                keras.Input((nets.FEATURES,)),
                keras.layers.BatchNormalization(name="own", **options),
                keras.layers.Dense(nets.CLASSES),
            ]
        )

    with mirrored_strategy.scope():
        with pytest.warns(UserWarning, match=r"'own'.*synchronized=True"):
            distiller_of(student())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            distiller_of(student(synchronized=True))
            distiller_of(student(trainable=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distiller_of(student())


def test_a_worker_that_is_alone_is_warned_of():
    """Without TF_CONFIG each of several would train by itself.

    Not a real strategy, which would break others of the same process.
    """
    strategy = mock.Mock(spec=tf.distribute.MultiWorkerMirroredStrategy)
    strategy.num_replicas_in_sync = 1
    strategy.cluster_resolver.cluster_spec().as_dict.return_value = {}
    distiller = mock.Mock(distribute_strategy=strategy)
    with pytest.warns(UserWarning, match="set TF_CONFIG"):
        strategy_checks.warn(distiller)
