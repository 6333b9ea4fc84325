"""What README's figures come from. Run with `python -m benchmarks.NAME`."""

import os

# Before TensorFlow is imported: figures, and not its notices.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
