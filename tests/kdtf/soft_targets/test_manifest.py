"""kdtf.soft_targets.manifest: nothing in it is believed unchecked."""

import dataclasses
import json
import os

import pytest

import kdtf
from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import manifest
from tests import stores


def test_it_is_read_as_it_was_written(tmp_path):
    options = {"top_k": 2, "temperature": 0.1}
    written = stores.write(tmp_path / "store", **options)._manifest
    assert written.identity.temperature == 0.1
    folder = tmp_path / "folder"
    folder.mkdir()
    assert manifest.read_identity(folder) is None
    manifest.write_identity(folder, written.identity)
    assert manifest.read_identity(folder) == written.identity
    other = dataclasses.replace(written.identity, teacher="another")
    manifest.write_identity(folder, other)  # too late
    assert manifest.read_identity(folder) == written.identity
    manifest.write(folder, written)
    assert manifest.read(folder) == written
    (folder / store_format.UNFINISHED).unlink()
    assert manifest.read_identity(folder) == written.identity
    assert os.listdir(folder) == [store_format.MANIFEST]


def test_it_tells_which_examples_are_in_a_shard(tmp_path):
    """22 in batches of 4: two batches in each of three shards."""
    written = stores.write(tmp_path)._manifest
    assert written.ranges(0) == [(0, 8), (8, 16), (16, 22)]


def test_a_changed_manifest_is_damaged(tmp_path):
    stores.write(tmp_path)
    path = tmp_path / store_format.MANIFEST
    content = json.loads(path.read_text())
    for text in (
        json.dumps({**content, "classes": 5}, indent=2) + "\n",
        json.dumps(content),  # the same content, another text
        "[]",
        "[" * 100_000,
        "",
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match="which is damaged"):
            manifest.read(tmp_path)


@pytest.mark.parametrize("version", (1, store_format.VERSION + 1))
@pytest.mark.parametrize("name", ("MANIFEST", "UNFINISHED"))
def test_other_versions_are_refused(tmp_path, version, name):
    stores.write(tmp_path)
    path = tmp_path / store_format.MANIFEST
    content = json.loads(path.read_text())
    path.unlink()
    path = tmp_path / getattr(store_format, name)
    path.write_text(json.dumps({**content, "version": version}))
    message = r"delete it and write them again.*newer kdtf"
    with pytest.raises(ValueError, match=message):
        stores.write(tmp_path)
    if name == "MANIFEST":
        with pytest.raises(ValueError, match=f"of version {version}"):
            kdtf.SoftTargets(tmp_path)


def rewritten(directory, change):
    """Changes a manifest, whose checksum is then right again."""
    before = manifest.read(directory)
    content = dataclasses.asdict(before)
    content["identity"] = before.identity.content()
    change(content)
    (directory / store_format.MANIFEST).write_text(manifest._text(content))


def renamed(name):
    def change(content):
        files = list(content["files"].items())
        content["files"] = dict([(name, files[0][1]), *files[1:]])

    return change


def with_all(**values):
    return lambda content: content.update(values)


def of_identity(**values):
    return lambda content: content["identity"].update(values)


CHANGES = {
    "a key is missing": lambda content: content.pop("classes"),
    "a key was added": with_all(more=1),
    "no identity": with_all(identity=None),
    "a key of the identity is missing": (
        lambda content: content["identity"].pop("dtype")
    ),
    "a key was added to the identity": of_identity(more=1),
    "classes: text": with_all(classes="4"),
    "classes: true": with_all(classes=True),
    "classes: negative": with_all(classes=-4),
    "classes: 0": with_all(classes=0),
    "classes: huge": with_all(classes=2**40),
    "classes: more than fit": with_all(classes=400),
    "entries: no list": with_all(entries=3),
    "entries: negative": with_all(entries=[-1]),
    "entries: huge": with_all(entries=[2**40]),
    "examples: 0": with_all(examples=0),
    "examples: huge": with_all(examples=2**62),
    "examples: a fraction": with_all(examples=22.0),
    "batches: 0": with_all(batches=0),
    "batches: others": with_all(batches=5),
    "batches: huge": lambda content: (
        content.update(batches=2**62),
        content["identity"].update(batches=2**62),
    ),
    "files: a list": with_all(files=[]),
    "files: none": with_all(files={}),
    "files: one missing": lambda c: c["files"].popitem(),
    "files: up and out": renamed("../view000-shard00000.tfrecord"),
    "files: from the root": renamed("/etc/passwd"),
    "files: another name": renamed("view000-shard00009.tfrecord"),
    "files: a negative size": (
        lambda c: c["files"].update({min(c["files"]): [-1, "a"]})
    ),
    "files: a size alone": (
        lambda c: c["files"].update({min(c["files"]): 100})
    ),
    "files: a negative count": (
        lambda c: c["files"].update({min(c["files"]): [190, "a", -8]})
    ),
    "files: a count missing": (
        lambda c: c["files"].update({min(c["files"]): [190, "a"]})
    ),
    "files: other counts": (
        lambda c: c["files"].update({min(c["files"]): [190, "a", 7]})
    ),
    "identity.teacher": of_identity(teacher=None),
    "identity.start": of_identity(start=1),
    "identity.examples": of_identity(examples="float32 [5]"),
    "identity.dtype": of_identity(dtype="float64"),
    "identity.dtype: a list": of_identity(dtype=["float16"]),
    "identity.batches: negative": of_identity(batches=-6),
    "identity.batches: others": of_identity(batches=7),
    "identity.top_k: 0": of_identity(top_k=0),
    "identity.top_k: all": of_identity(top_k=4),
    "identity.temperature: 0": of_identity(temperature=0.0),
    "identity.temperature: infinite": of_identity(temperature=float("inf")),
    "identity.temperature: text": of_identity(temperature="2"),
    "identity.views: 0": of_identity(views=0),
    "identity.views: huge": of_identity(views=10**18),
    "identity.shards: 0": of_identity(shards=0),
    "identity.shards: huge": of_identity(shards=10**18),
    "identity.shards: fewer": of_identity(shards=2),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_cannot_be_right_is_refused(tmp_path, change):
    stores.write(tmp_path)
    rewritten(tmp_path, change)
    with pytest.raises(ValueError, match=r"`directory`.*manifest\.json"):
        kdtf.SoftTargets(tmp_path)


@pytest.mark.parametrize(
    "change",
    (
        {"views": -1},
        {"shards": 0},
        {"shards": 7},  # of 6 batches
        {"batches": 0},
        {"dtype": "int8"},
        {"more": 1},
        {"teacher": ["a"]},
    ),
)
def test_so_it_is_of_an_unfinished_store(tmp_path, change):
    identity = stores.write(tmp_path)._manifest.identity
    content = {**identity.content(), **change}
    (tmp_path / store_format.MANIFEST).unlink()
    path = tmp_path / store_format.UNFINISHED
    path.write_text(manifest._text(content))
    with pytest.raises(ValueError, match=r"`directory`.*unfinished\.json"):
        stores.write(tmp_path)
