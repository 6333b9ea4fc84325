"""Scripts that reproduce the paper's experiments on public data."""

import os

# Before TensorFlow is imported: progress bars, and not its notices.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
