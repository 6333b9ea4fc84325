"""The paper's MNIST experiments (section 3); see `__main__`."""
