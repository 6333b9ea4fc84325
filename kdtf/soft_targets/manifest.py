"""The two files that say what a store holds: manifest and unfinished.json.

Both are JSON with a checksum. It notices damage, but a file that somebody else
has made may carry a valid one: nothing in it is believed before it is checked.
"""

import dataclasses
import hashlib
import json
import math

from kdtf import _atomic
from kdtf._math import heads
from kdtf.soft_targets import format as store_format


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
      files: dict from the name of a shard to [bytes, SHA-256], view by view.
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

    @property
    def nbytes(self):
        """Bytes of all shards."""
        return sum(size for size, _ in self.files.values())


def write(directory, manifest):
    """Commits a store: from now on it can be opened."""
    content = dataclasses.asdict(manifest)
    _atomic.write_whole(directory / store_format.MANIFEST, _text(content))
    (directory / store_format.UNFINISHED).unlink(missing_ok=True)


def read(directory):
    """The `Manifest` of a finished store.

    Raises:
      ValueError: if there is none, it is damaged or absurd, or another version
        of kdtf wrote it.
    """
    path = directory / store_format.MANIFEST
    content = _read(path)
    _require_keys(path, content, Manifest)
    identity = _identity(path, content.pop("identity"))
    manifest = Manifest(identity=identity, **content)
    _require_sane(path, manifest)
    return manifest


def write_identity(directory, identity):
    """Records what an unfinished store is going to hold."""
    content = dataclasses.asdict(identity)
    _atomic.write_whole(directory / store_format.UNFINISHED, _text(content))


def read_identity(directory):
    """The `Identity` of an unfinished store; raises as `read`."""
    path = directory / store_format.UNFINISHED
    return _identity(path, _read(path))


def _text(content):
    """JSON with version and checksum; the same content gives the same text."""
    version = store_format.VERSION
    content = {"format": "kdtf.SoftTargets", "version": version, **content}
    return json.dumps({**content, "sha256": _sha256(content)}, indent=2) + "\n"


def _sha256(content):
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _read(path):
    """What `_text` was made of."""
    try:
        text = path.read_bytes().decode()
        content = json.loads(text)
        version = content["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _refusal(path, "which is damaged") from error
    if type(version) is int and version != store_format.VERSION:
        raise ValueError(
            "`directory` must hold soft targets of format version "
            f"{store_format.VERSION}: write them again, or, if the version is "
            f"higher, install a newer kdtf. Received: {path} of version "
            f"{version}"
        )
    content = {
        key: value
        for key, value in content.items()
        if key not in ("format", "version", "sha256")
    }
    if _text(content) != text:
        raise _refusal(path, "which is damaged")
    return content


def _refusal(path, what):
    return ValueError(
        "`directory` must hold soft targets as they were written: delete it "
        f"and write them again. Received: {path}, {what}"
    )


def _identity(path, content):
    _require_keys(path, content, store_format.Identity)
    identity = store_format.Identity(**content)
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
    _require(path, "files", _are_files(manifest.files))
    # What is stored of an example bounds all the other numbers.
    row = sum(
        dtype.size * math.prod(n or 0 for n in shape)
        for dtype, shape in manifest.fields().values()
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


def _require_keys(path, content, kind):
    names = [field.name for field in dataclasses.fields(kind)]
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


def _are_files(files):
    """Whether files are a dict from names to size and SHA-256."""
    return type(files) is dict and all(
        type(entry) is list
        and len(entry) == 2
        and _is_count(entry[0])
        and type(entry[1]) is str
        for entry in files.values()
    )
