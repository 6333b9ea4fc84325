"""kdtf._training.replica_loops: executions and reports of several replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets


@pytest.mark.slow
def test_a_subclass_reports_metrics(mirrored_strategy):
    class Own(kdtf.Distiller):
        def train_step(self, data):
            return {**super().train_step(data), "mine": tf.constant(1.0)}

    with mirrored_strategy.scope():
        distiller = Own(nets.linear(0), nets.linear(7), temperature=2.0)
        distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"`train_step`.*metrics.*'mine'"):
        distiller.fit(nets.inputs(), nets.labels(), verbose=0)


@pytest.mark.slow
def test_results_are_over_all_replicas(mirrored_strategy):
    """Also those that callbacks get after every batch."""
    seen = []
    x, y = nets.inputs(6), nets.labels(6)
    with mirrored_strategy.scope():
        distiller = kdtf.Distiller(
            nets.linear(0), nets.linear(7), temperature=2.0
        )
        distiller.compile(keras.optimizers.SGD(0.0), metrics=["accuracy"])
    distiller.fit(
        x,
        y,
        batch_size=6,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: seen.append(logs)
            )
        ],
    )
    right = np.argmax(distiller.student(x), -1) == y
    assert float(seen[0]["accuracy"]) == pytest.approx(right.mean())


@pytest.mark.slow
def test_what_is_no_sum_is_not_added_up(mirrored_strategy):
    """As a constant of a metric of one's own, or a count of steps."""

    class Scaled(keras.metrics.Mean):
        def __init__(self):
            super().__init__("scaled")
            self.scale = self.add_variable(
                (), lambda shape, dtype: 3.0, aggregation="none", name="scale"
            )

        def reset_state(self):
            self.total.assign(0.0)
            self.count.assign(0.0)

        def update_state(self, labels, logits, sample_weight=None):
            super().update_state(tf.ones(tf.shape(labels)))

        def result(self):
            return self.scale * super().result()

    with mirrored_strategy.scope():
        distiller = kdtf.Distiller(
            nets.linear(0), nets.linear(7), temperature=2.0
        )
        distiller.compile("sgd", metrics=[Scaled()])
    history = distiller.fit(nets.inputs(), nets.labels(), verbose=0).history
    assert history["scaled"] == [3.0]
