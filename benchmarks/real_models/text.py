"""BERT to DistilBERT, and language models: rows of `benchmarks.real_models`.

The text is that of the docstrings of Python's standard library, which is on
every machine; words become numbers by a hash.
"""

import ast
import pathlib
import re
import sysconfig
import zlib

import numpy as np
import tensorflow as tf

from benchmarks.real_models import base

PACKAGES = (
    "asyncio",
    "email",
    "http",
    "importlib",
    "logging",
    "multiprocessing",
    "unittest",
    "xml",
)
LENGTH = 32  # tokens
WORDS, CLASSES = 8192, 50_257  # the vocabularies: BERT's here, GPT-2's own


def docstrings(package):
    """The docstrings of a package of the standard library.

    Args:
      package: str, its name.

    Returns:
      List of strings.
    """
    folder = pathlib.Path(sysconfig.get_paths()["stdlib"], package)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    found = []
    for file in sorted(folder.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = [n for n in ast.walk(tree) if isinstance(n, documented)]
        found += filter(None, map(ast.get_docstring, nodes))
    return found


def tokens(text, vocabulary, length):
    """The first words of a text as numbers from 1, padded with 0.

    Args:
      text: str.
      vocabulary: int, how many numbers there are, that of padding included.
      length: int.

    Returns:
      `[length]` int32 array.
    """
    words = re.findall(r"\w+|[^\w\s]", text.lower())[:length]
    numbers = [1 + zlib.crc32(w.encode()) % (vocabulary - 1) for w in words]
    return np.pad(np.array(numbers, np.int32), (0, length - len(words)))


class Classifier(base.Row):
    """A BERT teaches a DistilBERT."""

    title = "BERT to DistilBERT"
    what = (
        "KerasHub's text classifiers, 4 layers of 128 to 2 of 64; from the "
        f"first {LENGTH} words of a docstring which of {len(PACKAGES)} "
        "packages it is of; a dict of three inputs with padding masks, two of "
        "which the student takes, batch 32"
    )
    needs = ("keras_hub",)

    def prepare(self):
        texts = [docstrings(package) for package in PACKAGES]
        labels = np.repeat(np.arange(len(texts)), [len(t) for t in texts])
        rows = [tokens(t, WORDS, LENGTH) for each in texts for t in each]
        order = np.random.default_rng(0).permutation(len(rows))
        self.save(tokens=np.stack(rows)[order], labels=labels[order])
        self.train_teacher(_bert(), 2)

    def student(self):
        import keras_hub

        backbone = keras_hub.models.DistilBertBackbone(WORDS, 2, 2, 64, 256)
        return keras_hub.models.DistilBertTextClassifier(
            backbone, len(PACKAGES)
        )

    def batches(self):
        arrays = self.load()
        inputs = {
            "token_ids": arrays["tokens"],
            "padding_mask": (arrays["tokens"] > 0).astype(np.int32),
            "segment_ids": np.zeros_like(arrays["tokens"]),
        }
        cases = (inputs, arrays["labels"].astype(np.int32))
        data = tf.data.Dataset.from_tensor_slices(cases)
        return data.batch(32, drop_remainder=True)

    def teacher(self):
        import keras_hub  # noqa: F401  # the classes that are loaded

        return super().teacher()


def _bert():
    import keras_hub

    backbone = keras_hub.models.BertBackbone(WORDS, 4, 4, 128, 512)
    return keras_hub.models.BertTextClassifier(backbone, len(PACKAGES))


class LanguageModel(base.Row):
    """A GPT-2 teaches a smaller one the next word."""

    title = f"GPT-2 to GPT-2, {CLASSES:,} classes"
    what = (
        "KerasHub's causal language models, 4 layers of 128 to 2 of 64; the "
        f"next word of docstrings, {LENGTH} a row, padding masked and without "
        "weight, batch 8; the top 32 logits of each word stored"
    )
    needs = ("keras_hub",)
    ways = (
        base.KDTF,
        base.STORED,
        base.PLAIN,
        base.PEER,
    )
    steps = 8
    top_k = 32

    def prepare(self):
        texts = [text for name in PACKAGES for text in docstrings(name)]
        texts = sorted(texts, key=len)[-512:]  # the longest
        rows = [tokens(text, CLASSES, LENGTH + 1) for text in texts]
        order = np.random.default_rng(0).permutation(len(rows))
        self.save(tokens=np.stack(rows)[order])
        self.train_teacher(_gpt2(4, 128), 1)

    def student(self):
        return _gpt2(2, 64)

    def batches(self):
        words = self.load()["tokens"]
        inputs = {
            "token_ids": words[:, :-1],
            "padding_mask": (words[:, :-1] > 0).astype(np.int32),
        }
        weights = (words[:, 1:] > 0).astype(np.float32)
        data = tf.data.Dataset.from_tensor_slices(
            (inputs, words[:, 1:], weights)
        )
        return data.batch(8, drop_remainder=True)

    def teacher(self):
        import keras_hub  # noqa: F401  # the classes that are loaded

        return super().teacher()


def _gpt2(layers, width):
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        CLASSES, layers, 2, width, 4 * width, max_sequence_length=LENGTH
    )
    return keras_hub.models.GPT2CausalLM(backbone)
