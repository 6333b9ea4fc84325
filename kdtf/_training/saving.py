"""How a Distiller is saved: student and optimizer, never the teacher."""

import pathlib
import warnings

import keras


class SavedWithoutTeacher:
    """The part of `Distiller` that Keras's saver talks to."""

    def get_config(self):
        """The configuration, with the student's and without the teacher."""
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "student": keras.saving.serialize_keras_object(self.student),
            "awaits_teacher": (
                self._awaits_teacher or self._run_teacher is not None
            ),
            "hints": [
                keras.saving.serialize_keras_object(hint)
                for hint in self._hint_terms.hints
            ],
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
        config["hints"] = [
            keras.saving.deserialize_keras_object(hint)
            for hint in config.get("hints", ())
        ]
        distiller = cls(**config)
        distiller._awaits_teacher = awaits_teacher
        distiller._loads_whole = True  # the weights follow
        return distiller

    def save(self, filepath, *args, **kwargs):
        """As in Keras, but for HDF5, which would not be loaded again."""
        if pathlib.Path(filepath).suffix in (".h5", ".hdf5"):
            raise ValueError(
                "`filepath` must end in .keras: HDF5 does not hold what a "
                "Distiller is made of. Weights alone go into .weights.h5 by "
                f"`save_weights`. Received: filepath={str(filepath)!r}"
            )
        super().save(filepath, *args, **kwargs)

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
        before = self._setting_values()
        for i, variable in enumerate(state):
            restore = getattr(variable, "restore", variable.assign)
            restore(store[str(i)])
        if not self._loads_whole:
            self._warn_of_changes(before)
        self._loads_whole = False

    def _warn_of_changes(self, before):
        """Says which hyper-parameters a file of weights has brought back."""
        after = self._setting_values()
        changes = [
            f"{name} from {before[name]:g} to {after[name]:g}"
            for name in after
            if before[name] != after[name]
        ]
        if changes:
            warnings.warn(
                "A file of a Distiller's weights holds its hyper-parameters, "
                f"too: it changed {', '.join(changes)}. That is right for a "
                "run that is resumed; to load a student alone, use "
                "distiller.student.save_weights and load_weights.",
                stacklevel=2,
            )

    def _setting_values(self):
        """Dict from name to Python float of what can be assigned."""
        return {
            **self._student_outputs.setting_values(),
            **self._hint_terms.weight_values(),
        }

    def _own_state(self):
        holders = [self.student, *self._hint_projections]
        known = {id(v) for each in holders for v in each.weights}
        known |= {id(v) for each in holders for v in each.metrics_variables}
        variables = [v for each in holders for v in each.variables]
        seeds = [v for v in variables if id(v) not in known]
        own = self._student_outputs.setting_variables()
        return [*own, *self._hint_terms.weights.values(), *seeds]

    def get_compile_config(self):
        """As in Keras; `steps_per_execution` as `compile` was given it."""
        config = super().get_compile_config()
        if config and self._chooses_steps:
            config["steps_per_execution"] = "auto"
        return config

    def compile_from_config(self, config):
        """Compiles a loaded Distiller as the saved one was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self._trained_weights())
