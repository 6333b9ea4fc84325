"""The two files that say what a store holds: manifest and unfinished.json.

Both are JSON with a checksum. It notices damage, but a file that somebody else
has made may carry a valid one: nothing in it is believed before it is checked.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
from typing import NamedTuple

from kdtf import _atomic
from kdtf._math import heads
from kdtf.soft_targets import format as store_format


class File(NamedTuple):
    """What a manifest tells of a shard.

    Attributes:
      size: int, bytes.
      sha256: str.
      examples: int; None in version 2, which does not tell.
    """

    size: int
    sha256: str
    examples: int | None


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a finished store holds.

    Attributes:
      identity: `Identity`.
      classes: int.
      entries: list of int, the axes between batch and classes; None for one
        whose length differs from batch to batch.
      examples: int, number of examples of one view.
      batches: int, number of batches of one view.
      files: dict from the name of a shard to `File`, view by view.
    """

    identity: store_format.Identity
    classes: int
    entries: list
    examples: int
    batches: int
    files: dict

    def fields(self):
        """See `format.fields`."""
        return store_format.fields(self.identity, self.classes, self.entries)

    def shards(self, view):
        """File names of a view's shards."""
        count = len(self.files) // self.identity.views
        return [self.identity.shard(view, index) for index in range(count)]

    def ranges(self, view):
        """The examples of each of a view's shards: list of (first, last).

        They are first, first + 1, ..., last - 1. None for a store of version
        2, which has not counted them.
        """
        counts = [self.files[name].examples for name in self.shards(view)]
        if None in counts:
            return None
        return list(itertools.pairwise(itertools.accumulate([0, *counts])))

    @property
    def nbytes(self):
        """Bytes of all shards."""
        return sum(file.size for file in self.files.values())


def write(directory, manifest):
    """Commits a store: from now on it can be opened."""
    content = dataclasses.asdict(manifest)
    content["identity"] = manifest.identity.content()
    path = directory / store_format.MANIFEST
    _atomic.write_whole(path, _text(content), replace=False)


def read(directory):
    """The `Manifest` of a finished store.

    Raises:
      ValueError: if there is none, it is damaged or absurd, or another version
        of kdtf wrote it.
    """
    path = directory / store_format.MANIFEST
    content, version = _read(path, store_format.READABLE)
    _require_keys(path, content, [f.name for f in dataclasses.fields(Manifest)])
    identity = _identity(path, content.pop("identity"), version)
    files = _files(path, content.pop("files"), version)
    manifest = Manifest(identity=identity, files=files, **content)
    _require_sane(path, manifest)
    return manifest


def write_identity(directory, identity):
    """Records what an unfinished store is going to hold, if nothing else is.

    The first of several processes does it: `read_identity` tells which.
    """
    path = directory / store_format.UNFINISHED
    _atomic.write_whole(path, _text(identity.content()), replace=False)


def read_identity(directory):
    """The `Identity` of a store, finished or not; None if there is none.

    Raises:
      ValueError: as `read`.
    """
    # Another process may finish the store meanwhile.
    for _ in range(2):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return read(directory).identity
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path = directory / store_format.UNFINISHED
            return _identity(path, *_read(path, [store_format.VERSION]))
    return None


def _text(content, version=store_format.VERSION):
    """JSON with version and checksum; the same content gives the same text."""
    content = {"format": "kdtf.SoftTargets", "version": version, **content}
    return json.dumps({**content, "sha256": _sha256(content)}, indent=2) + "\n"


def _sha256(content):
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _read(path, versions):
    """What `_text` was made of, and the version."""
    try:
        text = path.read_bytes().decode()
        content = json.loads(text)
        version = content["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _refusal(path, "which is damaged") from error
    if type(version) is int and version not in versions:
        known = " or ".join(map(str, versions))
        raise ValueError(
            f"`directory` must hold soft targets of format version {known}: "
            "delete it and write them again, or, if the version is higher, "
            f"install a newer kdtf. Received: {path} of version {version}"
        )
    content = {
        key: value
        for key, value in content.items()
        if key not in ("format", "version", "sha256")
    }
    if _text(content, version) != text:
        raise _refusal(path, "which is damaged")
    return content, version


def _refusal(path, what):
    return ValueError(
        "`directory` must hold soft targets as they were written: delete it "
        f"and write them again. Received: {path}, {what}"
    )


def _identity(path, content, version):
    names = [field.name for field in dataclasses.fields(store_format.Identity)]
    _require_keys(path, content, [n for n in names if n != "version"])
    identity = store_format.Identity(**content, version=version)
    _require(path, "teacher", type(identity.teacher) is str)
    _require(path, "start", type(identity.start) is str)
    _require(path, "examples", _is_list(identity.examples, str))
    batches, shards = identity.batches, identity.shards
    _require(path, "batches", batches is None or _is_count(batches))
    _require(path, "dtype", identity.dtype in store_format.DTYPES)
    _require(path, "top_k", identity.top_k is None or _is_count(identity.top_k))
    temperature = identity.temperature
    is_one = type(temperature) is float and 0 < temperature < math.inf
    _require(path, "temperature", temperature is None or is_one)
    _require(path, "views", _is_count(identity.views))
    _require(path, "shards", _is_count(shards))
    _require(path, "shards", batches is None or shards <= batches)
    _require(path, "head", identity.head in heads.NAMES)
    return identity


def _require_sane(path, manifest):
    """Raises ValueError if the numbers of a manifest cannot go together."""
    identity = manifest.identity
    top_k = identity.top_k or 0
    classes, entries = manifest.classes, manifest.entries
    _require(path, "classes", _is_count(classes) and classes > top_k)
    _require(path, "classes", classes <= store_format.MAX_CLASSES)
    _require(path, "entries", _is_list(entries, int | None))
    _require(path, "entries", all(n is None or n >= 0 for n in entries))
    for name in ("examples", "batches"):
        _require(path, name, _is_count(getattr(manifest, name)))
    # What is stored of an example bounds all the other numbers.
    row = sum(
        field.width * math.prod(n or 0 for n in field.shape)
        for field in manifest.fields().values()
    )
    needed = identity.views * manifest.examples * row
    _require(path, "examples", needed <= manifest.nbytes)
    _require(path, "batches", manifest.batches <= manifest.nbytes)
    _require_layout(path, manifest)


def _require_layout(path, manifest):
    """Raises ValueError if the shards are not those of so many batches."""
    identity, batches = manifest.identity, manifest.batches
    _require(path, "batches", identity.batches in (None, batches))
    count, over = divmod(len(manifest.files), identity.views)
    _require(path, "files", count > 0 and over == 0)
    first_of_last, end = (identity.first_batch_of(count - i) for i in (1, 0))
    _require(path, "files", first_of_last < batches <= end)
    names = [
        name for view in range(identity.views) for name in manifest.shards(view)
    ]
    _require(path, "files", list(manifest.files) == names)
    for view in range(identity.views):
        ranges = manifest.ranges(view)
        counted = ranges is None or ranges[-1][1] == manifest.examples
        _require(path, "files", counted)


def _require_keys(path, content, names):
    if type(content) is not dict or list(content) != names:
        raise _refusal(path, f"which must have the keys {names}")


def _require(path, name, good):
    if not good:
        raise _refusal(path, f"whose `{name}` cannot be right")


def _is_count(value):
    return type(value) is int and value > 0


def _is_list(values, kind):
    return type(values) is list and all(
        isinstance(v, kind) and type(v) is not bool for v in values
    )


def _files(path, content, version):
    """Dict from names to `File`."""
    _require(path, "files", type(content) is dict)
    length = 2 if version == 2 else 3
    files = {}
    for name, entry in content.items():
        good = type(entry) is list and len(entry) == length
        good = good and type(entry[1]) is str
        # A shard may be of a batch without an example.
        good = good and _is_count(entry[0])
        good = good and all(type(n) is int and n >= 0 for n in entry[2:])
        _require(path, "files", good)
        files[name] = File(*(entry if length == 3 else [*entry, None]))
    return files
