"""Scripts that reproduce the paper's experiments on public data."""

import os

from trainers.core import notices

# Before TensorFlow is imported: progress bars, and not its notices.
if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
    notices.drop()
