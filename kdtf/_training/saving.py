"""How a Distiller is saved: student and optimizer, never the teacher."""

import keras

HYPERPARAMETERS = ("temperature", "soft_weight", "hard_weight")


class SavedWithoutTeacher:
    """The part of `Distiller` that Keras's saver talks to."""

    def get_config(self):
        """The configuration, with the student's and without the teacher."""
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "student": keras.saving.serialize_keras_object(self.student),
            "awaits_teacher": (
                self._awaits_teacher or self._teacher_logits is not None
            ),
            **self._constructor_arguments,
        }

    @classmethod
    def from_config(cls, config):
        """A Distiller as it was built, without its teacher."""
        config = dict(config)
        awaits_teacher = config.pop("awaits_teacher")
        config["student"] = keras.saving.deserialize_keras_object(
            config["student"]
        )
        distiller = cls(**config)
        distiller._awaits_teacher = awaits_teacher
        return distiller

    def save_own_variables(self, store):
        """Hyper-parameters and the seed states of the student's dropout.

        Keras leaves the seed states out of its weights files; without them a
        resumed run would draw other dropout masks.
        """
        for i, variable in enumerate(self._own_state()):
            store[str(i)] = variable

    def load_own_variables(self, store):
        """Loads what `save_own_variables` wrote."""
        state = self._own_state()
        if len(store.keys()) != len(state):
            raise ValueError(
                f"A saved Distiller of this student has {len(state)} variables "
                f"of its own. Received: a file with {len(store.keys())}"
            )
        for i, variable in enumerate(state):
            variable.assign(store[str(i)])

    def _own_state(self):
        known = {id(v) for v in self.student.weights}
        known |= {id(v) for v in self.student.metrics_variables}
        seeds = [v for v in self.student.variables if id(v) not in known]
        return [getattr(self, h) for h in HYPERPARAMETERS] + seeds

    def compile_from_config(self, config):
        """Compiles a loaded Distiller as the saved one was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)
