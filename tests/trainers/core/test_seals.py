"""trainers.core.seals: what has changed since it was written is refused."""

import json

import pytest

from kdtf import _disk
from trainers.core import seals
from trainers.core.errors import FlagsError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"weights")
    (tmp_path / "b.bin").write_bytes(b"logits")
    _disk.seal(tmp_path)
    return tmp_path


def read(folder, **options):
    with seals.opened(folder, **options):
        return (folder / "a.bin").read_bytes()


def test_what_is_as_it_was_written_is_read(folder):
    assert read(folder) == b"weights"


@pytest.mark.parametrize("name", ("a.bin", "b.bin"))
def test_one_flipped_bit_is_noticed(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(FlagsError) as refused:
        read(folder)
    assert f"delete {folder} to make it anew" in str(refused.value)
    assert f"{name}: its checksum" in str(refused.value)


def test_a_missing_file_is_noticed_unless_it_may_be(folder):
    (folder / "b.bin").unlink()
    with pytest.raises(FlagsError, match=r"Received: .*b\.bin"):
        read(folder)
    assert read(folder, may_lack=("b.bin",)) == b"weights"
    # What may be missing may not have changed.
    (folder / "b.bin").write_bytes(b"others")
    with pytest.raises(FlagsError, match=r"b\.bin: its checksum"):
        read(folder, may_lack=("b.bin",))


@pytest.mark.parametrize("text", ("", "[1]", '{"a.bin": "0"}', None))
def test_a_damaged_seal_is_noticed(folder, text):
    seal = folder / _disk.SEAL
    seal.write_text(seal.read_text()[:-9] if text is None else text)
    with pytest.raises(FlagsError, match=rf"delete {folder} to"):
        read(folder)


def test_a_folder_without_a_seal_is_read_as_it_is(folder):
    (folder / _disk.SEAL).unlink()
    (folder / "a.bin").write_bytes(b"others")
    assert read(folder) == b"others"
    # A file that cannot be read is named all the same.
    (folder / "a.bin").unlink()
    with pytest.raises(FlagsError, match=r"delete above .*Received: .*a\.bin"):
        read(folder, delete="above")


def test_other_errors_of_the_block_pass(folder):
    with pytest.raises(ZeroDivisionError), seals.opened(folder):
        _ = 1 / 0
    with pytest.raises(FlagsError, match=r"^mine$"), seals.opened(folder):
        raise FlagsError("mine")


VALUE = {"experiments": {"a": [0.1, None, float("inf")], "b": {"c": "d"}}}


def test_json_with_its_checksum(tmp_path):
    path = tmp_path / "a.json"
    seals.write_json(path, VALUE)
    assert seals.read_json(path) == VALUE
    edited = json.loads(path.read_text())
    edited["experiments"]["a"][0] = 0.2
    for text in (json.dumps(edited), path.read_text()[:-5], "", "[]"):
        path.write_text(text)
        with pytest.raises(ValueError):
            seals.read_json(path)
    path.write_text(json.dumps(VALUE))  # published, or of an earlier version
    assert seals.read_json(path) == VALUE
