"""What `--data` can be: of each kind a module, and what is common to all.

Splits that are held out by a seed are a function of the labels of the cases, in
their order, and of `--split_seed`: see `splits.hold_out`. Test cases leave
first, then held-out ones of what remains.
"""

import dataclasses
import os

import numpy as np
from absl import flags

from trainers.distill import cases
from trainers.distill.sources import (
    from_folder,
    from_npz,
    from_sklearn,
    from_table,
    from_tfds,
    from_tfrecord,
    images,
    labels,
    parts,
    specs,
    splits,
    tables,
)

# The flags that are defined here are those of the script, which --help shows.
flags.disclaim_key_flags()

_FIND = {
    "tfds": from_tfds.find,
    "folder": from_folder.find,
    "npz": from_npz.find,
    "csv": from_table.find,
    "parquet": from_table.find,
    "tfrecord": from_tfrecord.find,
    "sklearn": from_sklearn.find,
}
# Of all cases, and of the training cases, where a source has no such split.
_SHARES = {"test": 0.2, "held_out": 0.1}
_NAMES = {"train": "training", "held_out": "held-out", "test": "test"}
# Keeps the draws of one split apart from those of the other.
_STREAMS = {"test": 1, "held_out": 2}
# Flags that only some places take.
_OF_PLACES = {
    "label": ("tfds", "npz", "csv", "parquet", "tfrecord"),
    "columns": ("csv", "parquet"),
    "features": ("tfrecord",),
}
# Flags of one kind of data each, and their defaults.
_OF_KINDS = {
    "images": {"image_size": 0, "channels": "0", "resize": images.METHODS[0]},
    "sound": {"seconds": 1.0, "bands": 40, "sample_rate": None},
}
# Flags on which cases depend. The folders are only where they are looked for.
_SETTINGS = (
    "data",
    "test",
    "held_out",
    specs.UNLABELLED,
    "label",
    "classes",
    "unlabelled",
    "split_seed",
    *(flag for of_kind in _OF_KINDS.values() for flag in of_kind),
    "columns",
    "features",
)


def define_flags():
    """Defines the flags that say what to learn from."""
    flags.DEFINE_string(
        "data",
        None,
        "cases with their labels: tfds:NAME[/CONFIG][:SPLIT], images or sound "
        "of TensorFlow Datasets; folder:PATH, images or WAV files, one folder "
        "a class, perhaps in PATH/train, PATH/test and PATH/held_out; "
        "npz:PATH, arrays x and y, perhaps sample_weight, x_test and y_test, "
        "x_held_out and y_held_out; csv:PATH or parquet:PATH, a table of "
        "numbers and categories; tfrecord:GLOB, with --features; sklearn:NAME, "
        "embedded: digits, breast_cancer, iris, wine. Images of tfds, folder "
        "and tfrecord may be more than memory holds",
    )
    flags.mark_flag_as_required("data")
    for name, of in (("test", "all"), ("held_out", "the training")):
        flags.DEFINE_string(
            name,
            None,
            f"{_NAMES[name]} cases: another place of the kind of "
            "--data, such as npz:PATH; a split of tfds's; or a share of each "
            "class that is held out by --split_seed (default: the split that "
            f"--data brings, else {_SHARES[name]} of {of} cases)",
        )
    flags.DEFINE_string(
        specs.UNLABELLED,
        None,
        "more cases to learn from, whose labels, if they have any, are not "
        "used: another place of the kind of --data, or a split of tfds's. On "
        "them the distilled student has the teacher's word alone; the plain "
        "student, and a teacher by name, learn from --data",
    )
    _define_folders()
    _define_labels()
    _define_inputs()


def _define_folders():
    """Those that other scripts have too, and that may be there already."""
    for name, said in (
        ("data_dir", "TFDS's folder of prepared data"),
        ("manual_dir", "folder of the original files of a TFDS data set"),
    ):
        if name not in flags.FLAGS:
            flags.DEFINE_string(name, None, said)


def _define_labels():
    flags.DEFINE_string(
        "label",
        None,
        "what has the labels: a column of a table (default: label, target or "
        "class, else the last one), a feature of tfds or tfrecord (label, or "
        "the only one of its kind), an array of npz (y)",
    )
    flags.DEFINE_integer(
        "classes",
        None,
        "how many classes to take, the first ones (default: all)",
        lower_bound=2,
    )
    flags.DEFINE_boolean(
        "unlabelled",
        False,
        "training cases have no labels, or none that are used: a student has "
        "the teacher's word alone",
    )
    flags.DEFINE_integer(
        "split_seed", 0, "which cases are held out", lower_bound=0
    )


def _define_inputs():
    defaults = _OF_KINDS["images"] | _OF_KINDS["sound"]
    flags.DEFINE_integer(
        "image_size",
        defaults["image_size"],
        "height and width of images, to which they are stretched (0: those "
        "that the teacher takes, else of the first image)",
        lower_bound=0,
        upper_bound=10_000,
    )
    flags.DEFINE_enum(
        "channels",
        defaults["channels"],
        ["0", "1", "3"],
        "1 for grey images, 3 for colours (0: as the teacher takes them, else "
        "as the first image is)",
    )
    flags.DEFINE_enum(
        "resize",
        defaults["resize"],
        images.METHODS,
        "how images are resized; bilinear is what "
        "keras.utils.image_dataset_from_directory does",
    )
    flags.DEFINE_float(
        "seconds",
        defaults["seconds"],
        "length of clips: longer ones are cut, shorter ones end in silence",
        lower_bound=0.025,
        upper_bound=3600.0,
    )
    flags.DEFINE_integer(
        "bands",
        defaults["bands"],
        "log-mel bands of sound, of which a frame starts every 10 ms",
        lower_bound=1,
        upper_bound=1000,
    )
    flags.DEFINE_integer(
        "sample_rate",
        None,
        "of sound, in hertz, where neither TFDS nor the files tell",
        lower_bound=1000,
    )
    flags.DEFINE_list(
        "columns",
        None,
        "columns of a table that x has (default: all but that of the labels)",
    )
    flags.DEFINE_string(
        "features",
        None,
        "of tfrecord, a JSON file that says what an example holds, such as "
        '{"photo": {"type": "image"}, "class": {"type": "label", "names": '
        '["cat", "dog"]}}; other types of x: {"type": "floats", "shape": '
        '[64]}, ints, and pixels, "shape": [28, 28, 1], as bytes; "weight" is '
        "that of an example",
    )


def settings(values):
    """The flags on which results depend.

    Args:
      values: absl's flag values.

    Returns:
      Dict from flag to value, as a command line has it.
    """
    found = {name: getattr(values, name) for name in _SETTINGS}
    if found["columns"]:
        found["columns"] = ",".join(found["columns"])
    return found


def open_data(values, *, image_size=None, channels=None):
    """The cases that flags name.

    Args:
      values: absl's flag values.
      image_size: int or `(height, width)` that the nets take, or None; that of
        --image_size comes first.
      channels: 1 or 3, or None; likewise.

    Returns:
      `cases.Data`; of a table, a `TableData`.

    Raises:
      ValueError: if the flags, or what they name, cannot be right. The message
        names the flag.
      RuntimeError: if a data set of TFDS cannot be prepared.
    """
    spec = specs.of_data(values.data)
    given = {
        flag: specs.of_part(flag, getattr(values, flag), spec)
        for flag in _SHARES
    }
    _require_flags_of_places(spec, values)
    source = _FIND[spec.kind](spec, _options(values, image_size, channels))
    _require_flags_of_kinds(source.kind, values)
    found, names = _found(source, given)
    _require_classes(names, values)
    rows = _rows(found, given, names[: values.classes], values)
    _require_cases(found, rows, names, values)
    more = _unlabelled(values, spec, source, found)
    encoding = None
    if source.fit:
        for part in (*found.values(), *more):
            tables.require_same_columns(found["train"], part)
        encoding = source.fit(found["train"], rows["train"])
    made = {
        name: parts.split(
            found.get(name, found["train"]),
            rows[name],
            encoding=encoding,
            unlabelled=values.unlabelled and name == "train",
        )
        for name in ("train", "held_out", "test")
    }
    for name, part in found.items():
        _require_shape(made["train"], made[name], part.spec)
    for part in more:
        every = parts.split(
            part, np.arange(len(part.labels)), encoding=encoding
        )
        _require_shape(made["train"], every, part.spec)
        made["train"] = parts.joined(made["train"], every)
    made |= {
        "kind": source.kind,
        "class_names": tuple(names[: values.classes]),
        "cut_clips": _cut_clips(found, rows, more),
    }
    if encoding is None:
        return cases.Data(**made)
    return TableData(**made, columns=encoding.columns, encoding=encoding)


@dataclasses.dataclass(frozen=True)
class TableData(cases.Data):
    """Cases of a table.

    Attributes:
      encoding: `tables.Encoding`, which made x of rows.
    """

    encoding: tables.Encoding | None = None

    def save(self, directory):
        """Writes what makes x of a row, to serve a student of tables.

        Args:
          directory: path of a folder that exists; see `tables.Encoding.save`.
        """
        self.encoding.save(directory)


def _options(values, image_size, channels):
    size = values.image_size or image_size
    return parts.Options(
        data_dir=values.data_dir,
        manual_dir=values.manual_dir,
        label=values.label,
        image_size=(size, size) if isinstance(size, int) else size,
        channels=int(values.channels) or channels,
        resize=values.resize,
        seconds=values.seconds,
        bands=values.bands,
        sample_rate=values.sample_rate,
        columns=tuple(values.columns) if values.columns else None,
        features=values.features,
        unlabelled=values.unlabelled,
    )


def _require_flags_of_places(spec, values):
    """Refuses flags that a place would ignore."""
    for flag, kinds in _OF_PLACES.items():
        if spec.kind not in kinds and getattr(values, flag):
            raise ValueError(
                f"--{flag} must be left out but for {', '.join(kinds)}. "
                f"Received: --{flag}, {spec}"
            )


def _require_flags_of_kinds(kind, values):
    """Refuses flags that data of a kind would ignore."""
    for other, defaults in _OF_KINDS.items():
        for flag, default in defaults.items():
            if other != kind and getattr(values, flag) != default:
                raise ValueError(
                    f"--{flag} must be left out but for {other}. "
                    f"Received: --{flag}={getattr(values, flag)} with "
                    f"--data={values.data}, {kind}"
                )


def _found(source, given):
    """Dict from split to its part where it has one of its own; class names."""
    found = {"train": source.parts["train"]}
    names, options = source.class_names, source.options
    for flag, said in given.items():
        if isinstance(said, specs.Spec):
            options = dataclasses.replace(options, class_names=names)
            other = _other(said, source, found, options)
            found[flag] = other.parts["train"]
            names = names or other.class_names
    for flag, said in given.items():
        own = source.parts.get(flag)
        if said is None and own is not None:
            # Flags may have named it, or parts of it, as something else.
            others = [p for split, p in found.items() if split != "train"]
            if not any(_meet(p.spec, own.spec, options) for p in others):
                found[flag] = own
    return found, names or ()


def _unlabelled(values, data, source, found):
    """List of the `Part` of --unlabelled_data, if it is given."""
    said = values.unlabelled_data
    if not said:
        return []
    spec = specs.of_place(specs.UNLABELLED, said, data)
    options = dataclasses.replace(source.options, unlabelled=True)
    return [_other(spec, source, found, options).parts["train"]]


def _other(spec, source, found, options):
    """The `Source` that a flag names, which is neither of the others."""
    other = _FIND[spec.kind](spec, options)
    for part in found.values():
        if _meet(part.spec, other.parts["train"].spec, options):
            raise ValueError(
                f"--{spec.flag} must have other cases than "
                f"--{part.spec.flag}. Received: {spec}, {part.spec}"
            )
    if other.kind != source.kind:
        raise ValueError(
            f"--{spec.flag} must be of the kind of --data, {source.kind}. "
            f"Received: {spec}, {other.kind}"
        )
    return other


def _meet(one, other, options):
    """Whether two places share cases, as far as can be told."""
    if one.kind == "tfds":
        return from_tfds.meet(one, other, options)
    if one.kind == "tfrecord":
        return from_tfrecord.meet(one, other)
    places = [os.path.realpath(spec.place) for spec in (one, other)]
    if one.kind == "folder":  # files in any depth below are its cases
        return os.path.commonpath(places) in places
    return places[0] == places[1]


def _require_classes(names, values):
    if len(names) < 2 and not (values.unlabelled and not names):
        raise ValueError(
            "--data must have two classes or more (or give --unlabelled). "
            f"Received: --data={values.data} with "
            f"{labels.listed(names) or 'none'}"
        )
    if values.classes and values.classes > len(names):
        raise ValueError(
            f"--classes must be at most {len(names)}, the number of classes of "
            f"--data. Received: --classes={values.classes}, "
            f"--data={values.data}"
        )


def _require_shape(train, other, spec):
    shapes = [s.dataset.element_spec[0].shape for s in (train, other)]
    ours, theirs = (list(shape) for shape in shapes)
    if ours != theirs:
        raise ValueError(
            f"--{spec.flag} must have cases of the shape of those of --data, "
            f"{ours}. Received: {spec} with {theirs}"
        )


def _rows(found, given, names, values):
    """Dict from split to sorted positions in its part, or in that of train."""
    rows = {}
    for split, part in found.items():
        kept = part.labels < max(len(names), 1)
        rows[split] = np.flatnonzero(kept)
    for split, said in given.items():
        if split in found:
            continue
        share = _SHARES[split] if said is None else said
        seed = (values.split_seed, _STREAMS[split])
        train = rows["train"]
        kept, out = splits.hold_out(found["train"].labels[train], share, seed)
        rows["train"], rows[split] = train[kept], train[out]
    return rows


def _cut_clips(found, rows, more):
    taken = [
        (found.get(split, found["train"]).cut, some)
        for split, some in rows.items()
    ]
    taken += [(part.cut, slice(None)) for part in more]
    return sum(int(cut[some].sum()) for cut, some in taken if cut is not None)


def _require_cases(found, rows, names, values):
    """Requires cases in each split, and of each class to test on."""
    for split in _SHARES:
        if not len(rows[split]) or not len(rows["train"]):
            given = getattr(values, split)
            said = "" if given is None else f" --{split}={given},"
            empty = split if len(rows["train"]) else "train"
            raise ValueError(
                f"--{split} must leave at least one case in each split: give "
                f"another share, or more cases. Received:{said} "
                f"--data={values.data}, with no {_NAMES[empty]} case"
            )
    classes = {
        split: found.get(split, found["train"]).labels[some]
        for split, some in rows.items()
    }
    if values.unlabelled:
        return
    for split, some in classes.items():
        if (some < 0).all():
            raise ValueError(
                f"--{'data' if split == 'train' else split} must have labels "
                f"(or give --unlabelled). Received: --data={values.data}, "
                f"whose {_NAMES[split]} cases have none"
            )
    lacking = sorted(set(classes["train"]) - set(classes["test"]) - {-1})
    if lacking:
        given = "" if values.test is None else f" --test={values.test},"
        raise ValueError(
            "--test must have cases of each class that is trained: give a "
            "share, such as --test=0.2, or take the first classes alone by "
            f"--classes. Received:{given} --data={values.data}, without test "
            f"cases of {labels.listed(names[k] for k in lacking)}"
        )
