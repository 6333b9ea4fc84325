"""Packaging of kdtf; BUILD.md tells how to build the wheel."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).resolve().parent

# What the scripts in trainers/ need beside the library.
TRAINERS = ["matplotlib>=3.8", "scikit-learn>=1.4", "scipy>=1.11", "tqdm>=4.66"]
DEV = ["build>=1.2", "pytest>=8.0", "ruff>=0.9", "setuptools>=77"]


def version():
    """The version in kdtf/version.py, read without importing kdtf."""
    text = (ROOT / "kdtf" / "version.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


setuptools.setup(
    name="kdtf",
    version=version(),
    description="Knowledge distillation for Keras 3 on TensorFlow",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    packages=setuptools.find_packages(include=["kdtf", "kdtf.*"]),
    python_requires=">=3.11,<3.14",
    # The lower bounds are those of constraints-lowest.txt; see BUILD.md.
    install_requires=[
        "absl-py>=2.1",
        "importlib_resources>=6.0",  # imported by TFDS, not declared there
        "keras>=3.12",
        "tensorflow>=2.19",
        "tensorflow-datasets>=4.9.7",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]"],
        "trainers": TRAINERS,
        "dev": TRAINERS + DEV,
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
