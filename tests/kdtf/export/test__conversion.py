"""_conversion: what the converter says, and where it says it."""

import os
import sys
import warnings

import pytest
import tensorflow as tf

import kdtf
from kdtf.export import _conversion
from tests import nets


def test_quiet_keeps_what_is_written_off_the_terminal(capfd):
    with _conversion.quiet():
        os.write(2, b"from C++")
        tf.get_logger().warning("from Python")
        warnings.warn("from Python", stacklevel=1)
        print("a result")
    os.write(2, b"afterwards")
    out, err = capfd.readouterr()
    assert err == "afterwards"
    assert out == "a result\n"


def test_quiet_gives_the_terminal_back_after_an_error(capfd):
    level = tf.get_logger().level
    with pytest.raises(KeyError), _conversion.quiet():
        raise KeyError
    os.write(2, b"afterwards")
    assert capfd.readouterr().err == "afterwards"
    assert tf.get_logger().level == level
    assert sys.stderr.writable()


@pytest.mark.parametrize(
    ("error", "said"),
    (
        (RuntimeError(), r"another `quantize`.*RuntimeError\(\)"),
        (ValueError("no such\nthing"), r"another `quantize`.*\(no such\)"),
        (
            ValueError("'tf.Qr' op is neither a custom op nor FlexSvd {x}"),
            r"that LiteRT has built in.*the operations Qr, Svd$",
        ),
    ),
)
def test_whatever_fails_is_a_sentence(tmp_path, monkeypatch, error, said):
    class Converter:
        @classmethod
        def from_concrete_functions(cls, functions, module):
            return cls()

        def convert(self):
            raise error

    monkeypatch.setattr(tf.lite, "TFLiteConverter", Converter)
    with pytest.raises(
        ValueError, match=rf"^`distiller_or_student` must .*{said}"
    ):
        kdtf.export_litert(nets.linear(), tmp_path / "a.tflite")
    assert not os.listdir(tmp_path)
