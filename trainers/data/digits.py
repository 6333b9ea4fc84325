"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels.

Real data that come with scikit-learn, so that neither network nor files are
needed: the test part of the optical recognition of handwritten digits data set
of Alpaydin and Kaynak (UCI, 1998).
"""

import numpy as np
from sklearn import datasets, model_selection

from trainers.data.images import ImageData


def load() -> ImageData:
    """Loads the digits: half for training, half for test, always the same.

    Returns:
      `ImageData` with 898 training and 899 test images of 8 x 8 pixels. Every
      class is equally frequent in both.
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
