"""The paper's speech experiments (sections 4 and 6); see `__main__`."""
