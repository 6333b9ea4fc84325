"""kdtf as a package: its backend, its version, its wheel."""

import ast
import importlib.metadata
import json
import os
import pathlib
import runpy
import subprocess
import sys
import zipfile

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.version import Version

import kdtf
from kdtf import _version

ROOT = pathlib.Path(__file__).resolve().parents[2]
# That of constraints-lowest.txt.
LOWEST_PYTHON = {"python_version": "3.11"}


def run_python(*arguments, cwd=ROOT, **environment):
    """Runs this Python with `environment` on top of ours."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("backend", ["jax", "numpy", "openvino", "torch"])
def test_another_backend_is_refused(backend):
    result = run_python("-c", "import kdtf", KERAS_BACKEND=backend)
    assert result.returncode == 1
    message = result.stderr.splitlines()[-1]
    assert message.startswith("ImportError: kdtf runs on")
    assert "KERAS_BACKEND=tensorflow" in message


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_keras_json_with_another_backend_is_refused(tmp_path, backend):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": backend}))
    result = run_python(
        "-c", "import kdtf", KERAS_BACKEND="", KERAS_HOME=str(tmp_path)
    )
    assert result.returncode == 1
    assert "KERAS_BACKEND=tensorflow" in result.stderr.splitlines()[-1]


def test_backend_that_is_installed_is_refused(tmp_path):
    # A stand-in for a Keras whose other backend imports without an error.
    (tmp_path / "keras.py").write_text(
        "class config:\n    backend = staticmethod(lambda: 'jax')\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = run_python("-c", "import kdtf", cwd=tmp_path, PYTHONPATH=path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("the backend of jax")


def test_missing_keras_is_no_matter_of_backends(tmp_path):
    blocked = "import sys; sys.modules['keras'] = None; import kdtf"
    result = run_python("-c", blocked)
    assert result.returncode == 1
    assert "KERAS_BACKEND" not in result.stderr.splitlines()[-1]


def test_public_names_exist():
    assert kdtf.__version__ == _version.__version__
    for name in kdtf.__all__:
        assert hasattr(kdtf, name)


def test_version_is_written_in_one_place():
    sources = [ROOT / "setup.py", ROOT / "pyproject.toml"]
    sources += (ROOT / "kdtf").rglob("*.py")
    quoted = f'"{_version.__version__}"'
    holders = [s.name for s in sources if quoted in s.read_text()]
    assert holders == ["_version.py"]


def test_setup_reads_the_version_without_importing_kdtf():
    result = run_python("setup.py", "--quiet", "--version", KERAS_BACKEND="jax")
    assert result.stdout.split()[-1] == _version.__version__


@pytest.fixture
def declared(monkeypatch):
    """The arguments of `setup()` in setup.py, which is not run further."""
    arguments = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", arguments.update)
    runpy.run_path("setup.py")
    return arguments


def distributions(requirements):
    """The names alone, of requirements such as "numpy>=1.26"."""
    return {Requirement(each).name for each in requirements}


def imported(package):
    """The names of the distributions that a package of ours imports."""
    modules = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: a relative import"
                modules.add(node.module)
    top = {module.partition(".")[0] for module in modules}
    top -= {"kdtf", "trainers", "benchmarks", *sys.stdlib_module_names}
    providers = importlib.metadata.packages_distributions()
    # Beam need not be there: its extra is compared by name.
    providers.setdefault("apache_beam", ["apache-beam"])
    return {providers[module][0] for module in top}


def test_the_library_requires_exactly_what_it_imports(declared):
    required = distributions(declared["install_requires"])
    extra = distributions(declared["extras_require"]["beam"])
    assert imported("kdtf/beam") <= required | extra
    assert imported("kdtf") - extra == required


def test_the_trainers_require_all_they_import(declared):
    extras = declared["extras_require"]
    required = declared["install_requires"] + extras["trainers"]
    assert imported("trainers") <= distributions(required)
    # `make test` installs `dev`, and runs the trainers too.
    assert set(extras["trainers"]) <= set(extras["dev"])


def test_the_lowest_versions_are_those_that_setup_allows(declared):
    """`make lowest` tests what setup.py promises."""
    pinned = {}
    for line in (ROOT / "constraints-lowest.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pinned[name] = Version(version)
    extras = declared["extras_require"]
    for requirement in declared["install_requires"] + extras["dev"]:
        parsed = Requirement(requirement)
        if parsed.marker is None or parsed.marker.evaluate(LOWEST_PYTHON):
            [bound] = parsed.specifier
            assert pinned[parsed.name] == Version(bound.version), requirement


@pytest.mark.slow
def test_speech_is_loaded_when_it_is_asked_for():
    script = (
        "import sys, kdtf\n"
        "assert 'speech' in dir(kdtf)\n"
        "assert not [name for name in sys.modules if 'kdtf.speech' in name]\n"
        "assert kdtf.speech.LogMel is not None\n"
        "from kdtf import speech\n"
        "assert speech is kdtf.speech is sys.modules['kdtf.speech']\n"
    )
    result = run_python("-c", script)
    assert result.returncode == 0, result.stderr


def test_an_unknown_attribute_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Speech'"):
        _ = kdtf.Speech


USE_OF_THE_WHEEL = """
import os, sys
import keras, numpy as np
import kdtf
assert os.path.dirname(kdtf.__file__).startswith(sys.argv[1]), kdtf.__file__
def net():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
student = net()
distiller = kdtf.Distiller(student, net(), temperature=2.0)
distiller.compile("sgd")
x = np.ones((4, 2), "float32")
distiller.fit(x, np.zeros(4), verbose=0)
kdtf.export_student(distiller, "export")
print(kdtf.__version__, sorted(os.listdir("export")))
"""


@pytest.mark.slow
def test_wheel_works_outside_the_checkout(tmp_path):
    built, target = tmp_path / "built", tmp_path / "target"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    # Built from a copy, since setuptools leaves its traces in the sources.
    source = copy_of_the_package(tmp_path / "source")
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    wheel = run_python(*pip, "wheel", *offline, "-w", built, source)
    assert wheel.returncode == 0, wheel.stderr
    [wheel_file] = built.glob("kdtf-*.whl")
    assert _version.__version__ in wheel_file.name
    assert "kdtf/py.typed" in zipfile.ZipFile(wheel_file).namelist()
    install = run_python(
        *pip, "install", *offline[::2], "--target", target, wheel_file
    )
    assert install.returncode == 0, install.stderr
    assert sorted(p.name for p in target.iterdir()) == [
        "kdtf",
        f"kdtf-{_version.__version__}.dist-info",
    ]
    use = run_python(
        "-c",
        USE_OF_THE_WHEEL,
        target,
        cwd=elsewhere,
        PYTHONPATH=str(target),
    )
    assert use.returncode == 0, use.stderr
    assert use.stdout.split()[0] == _version.__version__
    assert "saved_model.pb" in use.stdout


def copy_of_the_package(directory):
    """The files the wheel is made of, in `directory`."""
    directory.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md"):
        (directory / name).write_bytes((ROOT / name).read_bytes())
    files = (ROOT / "kdtf").rglob("*")
    for file in (each for each in files if each.suffix in (".py", ".typed")):
        copy = directory / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return directory
