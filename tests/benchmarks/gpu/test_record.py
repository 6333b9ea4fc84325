"""Result files where there is no TensorFlow."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_the_side_without_tensorflow_does_not_import_it():
    script = (
        "import sys\n"
        "from benchmarks.gpu import answers, hlo, inputs, record\n"
        "absent = {'tensorflow', 'keras', 'kdtf', 'absl', 'jax'}\n"
        "assert not absent & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
