"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, embedded there.

Real data that need no network and no files: Alpaydin and Kaynak's optical
recognition of handwritten digits, test part (UCI, 1998).
"""

import numpy as np
from sklearn import datasets, model_selection

from trainers.data import ImageData


def load():
    """Half of the digits to train on, half to test on, the same every time.

    Returns:
      `ImageData` with 898 training and 899 test images of 8 x 8 pixels, every
      class equally frequent in both.
    """
    images, labels = datasets.load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = model_selection.train_test_split(
        images.astype(np.uint8).reshape(-1, 8, 8),
        labels.astype(np.int32),
        test_size=0.5,
        random_state=0,
        stratify=labels,
    )
    return ImageData(train_x, train_y, test_x, test_y, classes=10, white=16)
