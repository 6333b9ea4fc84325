"""Packaging of kdtf; see BUILD.md."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent


def version():
    """The version, read and not imported: TensorFlow need not be there."""
    text = (ROOT / "kdtf" / "_version.py").read_text(encoding="utf-8")
    return re.search(r'__version__ = "(.+)"', text)[1]


# What `import kdtf` imports; tests/kdtf/test_package.py checks it.
LIBRARY = [
    "keras>=3.12",
    "numpy>=1.26",
    "tensorflow>=2.20",
]

# Running what kdtf.export_litert wrote, to compare it with the student.
LITERT = ["ai-edge-litert>=2.1.0"]

# What the scripts in trainers/ and benchmarks/ need in addition.
TRAINERS = [
    *LITERT,
    "absl-py>=2.1",
    # pydub needs audioop, which Python 3.13 no longer has.
    'audioop-lts>=0.2; python_version >= "3.13"',
    "importlib_resources>=6.0",  # TFDS imports it and does not declare it
    "jiwer>=3.0",
    "matplotlib>=3.8",
    "pyarrow>=14.0.1",  # which TFDS brings, too
    "pydub>=0.25.1",  # TFDS reads spoken_digit's files with it
    "scikit-learn>=1.7",
    "scipy>=1.11.4",
    "tensorboard>=2.20",
    "tensorflow-datasets>=4.9.7",
    "tqdm>=4.66",
]

# The site, `make docs`.
DOCS = ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.30"]

# Labelling on Apache Beam, kdtf.beam.
BEAM = ["apache-beam>=2.77"]

# benchmarks/real_models
REAL_MODELS = ["keras-hub>=0.26", "keras-tuner>=1.4.7"]

setup(
    name="kdtf",
    version=version(),
    description="Knowledge distillation for Keras 3 on TensorFlow",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["kdtf", "kdtf.*"]),
    package_data={"kdtf": ["py.typed"]},
    python_requires=">=3.11,<3.14",
    install_requires=LIBRARY,
    extras_require={
        "beam": BEAM,
        "litert": LITERT,
        "real_models": [*REAL_MODELS, *TRAINERS],
        "gpu": ["tensorflow[and-cuda]>=2.20"],
        "docs": DOCS,
        "trainers": TRAINERS,
        "dev": [
            *BEAM,
            *DOCS,
            *TRAINERS,
            "import-linter>=2.5",
            "mypy>=1.18.1",
            "pre-commit>=4.0",
            "pytest>=9.0",
            "pytest-xdist>=3.5",
            "ruff==0.17.6",
            "setuptools>=77.0.1",
            "wheel>=0.43.0",
        ],
    },
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
