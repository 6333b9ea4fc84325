"""`tfrecord:GLOB`: files of `tf.train.Example`.

`--features` is a JSON file that says what an example holds, by name of feature:

    {"photo": {"type": "image"},
     "class": {"type": "label", "names": ["cat", "dog"]},
     "trust": {"type": "weight"}}

One feature is x:

    {"type": "image"}                        a PNG, JPEG, GIF or BMP file
    {"type": "pixels", "shape": [28, 28, 1]} uint8 pixels, as bytes
    {"type": "floats", "shape": [64]}        floats, in any shape
    {"type": "ints", "shape": [64]}          integers, taken as floats

One is the label, `{"type": "label"}`: an integer, or with `"names"` an integer
or one of the names, as bytes; `--label` says which where there are several. One
may be a `weight`, a float. Files are read in the order of their names; those
that end in `.gz` are compressed.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from trainers.distill.sources import examples, images, labels, parts
from trainers.distill.sources.parts import Part, Source

_INPUTS = ("image", "pixels", "floats", "ints")
_TYPES = (*_INPUTS, "label", "weight")
_BATCH = 256  # examples that are looked at together
_DTYPES = {
    "image": tf.string,
    "pixels": tf.string,
    "floats": tf.float32,
    "ints": tf.int64,
    "weight": tf.float32,
}


def find(spec, options):
    """The examples of files.

    Args:
      spec: `specs.Spec`.
      options: `parts.Options`.

    Returns:
      `parts.Source` of kind "images" or "arrays".

    Raises:
      ValueError: if no file matches, one cannot be read, or the file of
        --features does not describe them. The message names the flag.
    """
    described = _described(options, spec)
    files = _files(spec)
    if not files:
        raise ValueError(
            f"--{spec.flag} must match files. Received: {spec}, which matches "
            "none"
        )
    x = _one(described, _INPUTS, options)
    label = _label(described, options, spec)
    weight = _one(described, ("weight",), options)
    reader = _Reader(files, described, spec)
    values, weights = reader.scalars(label, weight, x)
    classes, names = np.full(len(values), -1, np.int32), options.class_names
    if label:
        own = tuple(described[label].get("names", ()))
        where = f"{spec}, feature `{label}`,"
        classes, names = labels.of_values(
            values, own or names, where, spec.flag, by_number=bool(own)
        )
    options, decode = reader.decoder(x, options)

    def xs(rows):
        examples = parts.chosen(reader.examples(), rows, len(classes))
        return examples.map(
            decode, num_parallel_calls=parts.AUTOTUNE, deterministic=True
        )

    kind = "images" if described[x]["type"] in ("image", "pixels") else "arrays"
    part = Part(spec, classes, xs, weights)
    return Source(kind, {"train": part}, names, options)


def meet(one, other):
    """Whether two `specs.Spec`s match the same file, under whatever name."""
    first, second = (
        {os.path.realpath(file) for file in _files(spec)}
        for spec in (one, other)
    )
    return not first.isdisjoint(second)


def _files(spec):
    return sorted(tf.io.gfile.glob(spec.place))


class _Reader:
    """Reads features of the examples of files, in order."""

    def __init__(self, files, described, spec):
        self._files, self._described, self._spec = files, described, spec

    def examples(self):
        """`tf.data.Dataset` of serialized examples."""
        runs = itertools.groupby(self._files, _is_packed)
        whole, *others = (
            tf.data.TFRecordDataset(list(files), "GZIP" if packed else None)
            for packed, files in runs
        )
        for other in others:
            whole = whole.concatenate(other)
        return whole

    def scalars(self, label, weight, x):
        """Labels and weights of all examples, two arrays; None for no weights.

        What they hold as x is looked at and left.

        Raises:
          ValueError: if a file is no file of such examples, or one of them has
            an x or a weight that cannot be.
        """
        wanted = [name for name in (label, weight) if name]
        cases, found = 0, {name: [] for name in wanted}
        checks = {
            name: examples.check_of(self._described[name])
            for name in (weight, x)
            if name
        }
        for file in self._files:
            first = 0
            for read in self._read(file, {*wanted, x}):
                for name, check in checks.items():
                    self._require(check(read[name]), name, file, first)
                for name in wanted:
                    found[name].append(read[name])
                first += len(read[x])
            cases += first
        if not cases:
            raise ValueError(
                f"--{self._spec.flag} must have examples. Received: "
                f"{self._spec}, whose files have none"
            )
        found = {name: np.concatenate(f) for name, f in found.items()}
        return found.get(label, np.full(cases, -1)), found.get(weight)

    def _read(self, file, names):
        """Features of a file's examples, batch by batch, as arrays."""
        own = tf.data.TFRecordDataset(file, "GZIP" if _is_packed(file) else "")
        specs, first = None, 0
        try:
            for batch in own.batch(_BATCH):
                specs = specs or self._specs(names)
                read = tf.io.parse_example(batch, specs)
                yield {name: read[name].numpy() for name in names}
                first += len(batch)
        except tf.errors.OpError as error:
            raise ValueError(
                f"--{self._spec.flag} must be whole files of tf.train.Example, "
                f"as --features describes them. Received: {self._spec}, whose "
                f"file {file} is none from example {first} on: "
                f"{parts.reason_of(error)}"
            ) from error

    def _require(self, wrong, name, file, first):
        if wrong:
            place, must, reason = wrong
            raise ValueError(
                f"--{self._spec.flag} must have {must}: mend or remove this "
                f"one. Received: {self._spec}, where feature `{name}` of "
                f"example {first + place} of {file}, counted from 0, {reason}"
            )

    def decoder(self, name, options):
        """Options with what is known of x, and a function that makes it."""
        kind = self._described[name]["type"]
        raw = self._raw(name, kind)
        first = raw(next(iter(self.examples())))
        if kind in ("floats", "ints"):
            return options, lambda example: tf.cast(raw(example), tf.float32)
        options = dataclasses.replace(
            options,
            image_size=options.image_size or tuple(first.shape[:2]),
            channels=options.channels or images.channels_of(first),
        )
        return options, lambda example: images.shown(
            raw(example), options.image_size, options.channels, options.resize
        )

    def _raw(self, name, kind):
        """Function from an example to its feature, as it is stored."""
        shape = self._described[name].get("shape", ())

        def raw(example):
            value = tf.io.parse_single_example(example, self._specs([name]))[
                name
            ]
            if kind == "image":
                return images.decode(value)
            if kind == "pixels":
                return tf.reshape(tf.io.decode_raw(value, tf.uint8), shape)
            return value

        return raw

    def _specs(self, names):
        found = {}
        for name in names:
            said = self._described[name]
            shape = said.get("shape", ()) if said["type"] in _DTYPES else ()
            shape = () if said["type"] == "pixels" else shape
            dtype = _DTYPES.get(said["type"]) or self._dtype_of_label(name)
            found[name] = tf.io.FixedLenFeature(shape, dtype)
        return found

    def _dtype_of_label(self, name):
        """Of integers, or of names; the first example tells."""
        example = tf.train.Example()
        # What is no example at all is named where it is read.
        with contextlib.suppress(Exception):  # of protobuf
            example.ParseFromString(next(iter(self.examples())).numpy())
        stored = example.features.feature[name]
        return tf.string if stored.HasField("bytes_list") else tf.int64


def _is_packed(file):
    return file.endswith(".gz")


def _described(options, spec):
    """What `--features` says: dict from feature to a dict."""
    if not options.features:
        raise ValueError(
            "--features must be a JSON file that says what an example holds, "
            'such as {"photo": {"type": "image"}, "class": {"type": "label"}}. '
            f"Received: none, {spec}"
        )
    try:
        described = json.loads(
            pathlib.Path(options.features).read_text(encoding="utf-8")
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            "--features must be a JSON file. Received: "
            f"--features={options.features}: {error}"
        ) from error
    if not isinstance(described, dict):
        _refuse(options, "it is no object")
    for name, said in described.items():
        _require_described(name, said, options)
    if sum(said["type"] in _INPUTS for said in described.values()) != 1:
        _refuse(options, f"one feature must be x, of type {_or(_INPUTS)}")
    return described


def _require_described(name, said, options):
    kind = said.get("type") if isinstance(said, dict) else None
    if kind not in _TYPES:
        _refuse(options, f"`{name}` must have a type, {_or(_TYPES)}")
    if strange := set(said) - {"type", "shape", "names"}:
        _refuse(options, f"`{name}` has {labels.listed(sorted(strange))}")
    names = said.get("names", [])
    # Of a string the letters would be classes.
    if not (
        isinstance(names, list)
        and all(isinstance(each, str) for each in names)
        and len(set(names)) == len(names)
    ):
        _refuse(options, f"`{name}` must have a list of names that differ")
    shape = said.get("shape")
    if kind in ("pixels", "floats", "ints") and not (
        isinstance(shape, list)
        and shape
        and all(type(size) is int and size > 0 for size in shape)
    ):
        _refuse(options, f"`{name}` must have a shape, such as [28, 28, 1]")
    if kind == "pixels" and (len(shape) != 3 or shape[2] not in (1, 3)):
        _refuse(options, f"`{name}` must be [height, width, 1 or 3]")


def _refuse(options, reason):
    raise ValueError(
        "--features must say of each feature what it is, as "
        '{"photo": {"type": "image"}, "class": {"type": "label"}}. '
        f"Received: --features={options.features}: {reason}"
    )


def _one(described, kinds, options):
    """The feature of one of these types, or None."""
    found = [name for name, said in described.items() if said["type"] in kinds]
    if len(found) > 1:
        _refuse(options, f"only one of {labels.listed(found)} can be used")
    return found[0] if found else None


def _label(described, options, spec):
    found = [n for n, said in described.items() if said["type"] == "label"]
    if spec.is_unlabelled:
        return None
    if options.label:
        if options.label in found:
            return options.label
        raise ValueError(
            "--label must be a feature of type label. Received: "
            f"--label={options.label}, --features={options.features} with "
            f"{labels.listed(found) or 'none'}"
        )
    if len(found) > 1:
        _refuse(options, f"--label must say which of {labels.listed(found)}")
    if not found and not options.unlabelled:
        _refuse(options, "no feature is a label (or give --unlabelled)")
    return found[0] if found else None


def _or(names):
    return f"{', '.join(names[:-1])} or {names[-1]}"
