"""`tfds:NAME[/CONFIG][:SPLIT]`: data sets of TensorFlow Datasets.

Images, a feature `tfds.features.Image`, or sound, a `tfds.features.Audio`; the
labels are a `tfds.features.ClassLabel`. SPLIT is `train` by default, and may be
what TFDS calls a split, such as `train+test` or `train[:20%]`. Of the splits
`test` and `validation` the cases are taken that SPLIT does not name.

Some data sets' splits test other classes than those trained on: of Omniglot,
`tfds:omniglot:train --classes=964 --test=0.2` holds drawings of the same
characters out instead.
"""

import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data import tfds_audio, tfds_builders, tfds_images
from trainers.distill.sources import images, labels, parts, sound
from trainers.distill.sources.parts import Part, Source

_OTHERS = "folder:PATH, npz:PATH, csv:PATH, parquet:PATH, tfrecord:GLOB"
_ADVICE = (
    "Give --manual_dir=FOLDER with its original files, or --data_dir=FOLDER "
    "where TFDS has prepared it before."
)
_OWN = {"held_out": "validation", "test": "test"}


def find(spec, options):
    """The cases of a data set, which is prepared if necessary.

    Args:
      spec: `specs.Spec`.
      options: `parts.Options`.

    Returns:
      `parts.Source` of kind "images" or "sound".

    Raises:
      ValueError: if TFDS does not know the data set, or it lacks a feature or
        a split, or its images or sound are of a kind that cannot be read. The
        message names the flag.
      RuntimeError: if the data are not prepared and cannot be.
    """
    name, _, split = spec.place.partition(":")
    split = split or "train"
    builder = _builder(name, spec, options)
    x = _input(builder.info.features, spec)
    label = _label(builder.info.features, spec, options)
    tfds_builders.prepare(
        builder,
        name,
        _ADVICE,
        data_dir=options.data_dir,
        manual_dir=options.manual_dir,
    )
    wanted = {"train": split}
    if spec.flag == "data":
        wanted |= {
            part: own
            for part, own in _OWN.items()
            if own in builder.info.splits
            and not _share_a_case(builder, split, own)
        }
    reader = _Reader(builder, x, label, spec)
    first = reader.first(split)
    listen = isinstance(builder.info.features[x], tfds.features.Audio)
    with_all = _for_sound if listen else _for_images
    options, decode, listening = with_all(
        builder.info.features[x], first, spec, options
    )
    names = options.class_names
    if label:
        names = tuple(builder.info.features[label].names)
    _require_names(names, spec, options)
    found = {
        part: reader.part(own, decode, listening)
        for part, own in wanted.items()
    }
    return Source("sound" if listen else "images", found, names, options)


def meet(one, other, options):
    """Whether two splits of a data set share a case.

    Args:
      one: `specs.Spec` of kind "tfds".
      other: another one.
      options: `parts.Options`.
    """
    name, _, split = one.place.partition(":")
    other_name, _, other_split = other.place.partition(":")
    if name != other_name:
        return False
    builder = _builder(name, one, options)
    return _share_a_case(builder, split or "train", other_split or "train")


def _builder(name, spec, options):
    return tfds_builders.find(
        name, options.data_dir, _OTHERS, flag=spec.flag, given=spec.given
    )


class _Reader:
    """Reads x and labels of a data set, in the order in which it is stored."""

    def __init__(self, builder, x, label, spec):
        self._builder, self._x, self._label = builder, x, label
        self._spec = spec

    def first(self, split):
        """x of the first case: encoded if it is an image."""
        self._require(split)
        for x in self._encoded(split).take(1):
            return x
        raise ValueError(
            f"--{self._spec.flag} must have cases. Received: {self._spec} "
            "with none"
        )

    def part(self, split, decode, listening=None):
        """`Part` of a split, of sound with the `sound.Listening`."""
        self._require(split)
        classes, lengths = self._labels_and_lengths(split, bool(listening))
        cut = listening and lengths > listening.samples

        def xs(rows):
            cases = parts.chosen(self._encoded(split), rows, len(classes))
            return cases.map(
                decode, num_parallel_calls=parts.AUTOTUNE, deterministic=True
            )

        name = self._spec.place.partition(":")[0]
        spec = dataclasses.replace(self._spec, place=f"{name}:{split}")
        return Part(spec, classes, xs, cut=cut)

    def _labels_and_lengths(self, split, of_sound):
        """Two `[cases]` int32 arrays, read in one pass; -1 for no label."""
        if not self._label and not of_sound:
            none = np.full(self._cases(split), -1, np.int32)
            return none, none

        def numbers(case):
            label = case[self._label] if self._label else -1
            length = tf.shape(case[self._x])[0] if of_sound else -1
            return tf.stack([tf.cast(label, tf.int32), length])

        found = self._read(split).map(numbers).batch(4096)
        none = np.zeros((0, 2), np.int32)
        return np.concatenate([none, *found.as_numpy_iterator()]).T

    def _encoded(self, split):
        return self._read(split).map(lambda case: case[self._x])

    def _read(self, split):
        features = self._builder.info.features
        return self._builder.as_dataset(
            split=split,
            shuffle_files=False,
            # Decoded after those that are not wanted are left out.
            decoders={
                name: tfds.decode.SkipDecoding()
                for name in features
                if isinstance(features[name], tfds.features.Image)
            },
            # One file after the other: the order is that of the files.
            read_config=tfds.ReadConfig(
                interleave_cycle_length=1, try_autocache=False
            ),
        )

    def _cases(self, split):
        return self._builder.info.splits[split].num_examples

    def _require(self, split):
        try:
            self._cases(split)
        except (KeyError, ValueError, AssertionError) as error:
            raise ValueError(
                f"--{self._spec.flag} must name a split of the data set, which "
                f"has {', '.join(self._builder.info.splits)}. Received: "
                f"{self._spec}, and the error {str(error).splitlines()[0]}"
            ) from error


def _input(features, spec):
    """The name of the feature that x is."""
    found = features if isinstance(features, tfds.features.FeaturesDict) else {}
    for name, kind in (
        ("image", tfds.features.Image),
        ("audio", tfds.features.Audio),
    ):
        named = [f for f in found if isinstance(found[f], kind)]
        if name in named or len(named) == 1:
            return name if name in named else named[0]
    raise ValueError(
        f"--{spec.flag} must have a feature `image`, a tfds.features.Image, or "
        f"`audio`, a tfds.features.Audio. Received: {spec} with {features}"
    )


def _label(features, spec, options):
    """The name of the feature with the labels, or None."""
    if spec.is_unlabelled:
        return None
    kind = tfds.features.ClassLabel
    found = [f for f in features if isinstance(features[f], kind)]
    if options.label:
        if options.label in found:
            return options.label
        raise ValueError(
            "--label must be a feature of classes, a tfds.features.ClassLabel: "
            f"{labels.listed(found) or 'there is none'}. Received: "
            f"--label={options.label}, {spec}"
        )
    if "label" in found or len(found) == 1:
        return "label" if "label" in found else found[0]
    if options.unlabelled:
        return None
    raise ValueError(
        f"--{spec.flag} must have a feature `label`, a "
        "tfds.features.ClassLabel, or name one by --label (or give "
        f"--unlabelled). Received: {spec} with {labels.listed(found) or 'none'}"
    )


def _require_names(names, spec, options):
    if options.class_names not in (None, names):
        raise ValueError(
            f"--{spec.flag} must have the classes that --data has, "
            f"{labels.listed(options.class_names)}. Received: {spec} with "
            f"{labels.listed(names)}"
        )


def _for_images(feature, first, spec, options):
    """Options with size and colours, the function that makes x, None."""
    tfds_images.require_pixels(spec.given, feature, flag=spec.flag)
    size = options.image_size
    if not size:
        known = feature.shape[:2]
        size = known if all(known) else tuple(images.decode(first).shape[:2])
    options = dataclasses.replace(
        options,
        image_size=size,
        channels=options.channels or feature.shape[-1],
    )

    def decode(encoded):
        return images.shown(
            images.decode(encoded), size, options.channels, options.resize
        )

    return options, decode, None


def _for_sound(feature, first, spec, options):
    """Options with the sampling rate, the function that makes x, and how."""
    rate = tfds_audio.sample_rate_of(
        spec.given, feature.sample_rate, options.sample_rate, flag=spec.flag
    )
    tfds_audio.waveform_of(first.numpy())  # of 16 bits, or refused
    heard = sound.Listening(rate, options.seconds, options.bands)
    options = dataclasses.replace(options, sample_rate=rate)
    return options, heard.hear, heard


def _share_a_case(builder, split, other):
    """Whether two splits do; of what is no split, it is said later."""
    try:
        some, others = _ranges(builder, split), _ranges(builder, other)
    except (KeyError, ValueError, AssertionError):
        return False
    return any(
        file == other and first < end and begin < last
        for file, first, last in some
        for other, begin, end in others
    )


def _ranges(builder, split):
    """Where the cases of a split are: list of (file, first, last)."""
    return [
        (
            i.filename,
            i.skip,
            i.skip + (i.examples_in_shard if i.take < 0 else i.take),
        )
        for i in builder.info.splits[split].file_instructions
    ]
