"""trainers.data.tfds_builders: what a builder gets, and messages on failure."""

import warnings

import pytest

from trainers.data import tfds_builders


class Builder:
    """Takes the place of a TFDS builder, and keeps the config it is given."""

    config = None

    def __init__(self, warning=None, error=None):
        self.warning, self.error = warning, error

    def download_and_prepare(self, download_config):
        self.config = download_config
        if self.warning:
            warnings.warn(self.warning, RuntimeWarning, stacklevel=2)
        if self.error:
            raise self.error


def test_the_builder_gets_the_folder_of_original_files():
    builder = Builder()
    tfds_builders.prepare(builder, "words", "Help.", manual_dir="originals")
    assert str(builder.config.manual_dir) == "originals"
    tfds_builders.prepare(builder, "words", "Help.")
    assert builder.config.manual_dir is None


def test_only_the_warning_of_ffmpeg_is_silenced():
    pydub = "Couldn't find ffmpeg or avconv - defaulting to ffmpeg"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tfds_builders.prepare(Builder(pydub), "words", "Help.")
    with pytest.warns(RuntimeWarning, match="disk is nearly full"):
        tfds_builders.prepare(Builder("disk is nearly full"), "words", "Help.")


def test_a_failure_names_flags_and_reason():
    broken = Builder(error=ConnectionError("no network"))
    expected = (
        r"words could not be prepared\. Try this\. Received: --data_dir=here, "
        r"--manual_dir=there, and the error ConnectionError: no network"
    )
    with pytest.raises(RuntimeError, match=expected) as raised:
        tfds_builders.prepare(
            broken, "words", "Try this.", data_dir="here", manual_dir="there"
        )
    assert raised.value.__cause__ is broken.error
