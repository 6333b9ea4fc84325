"""Scripts that reproduce the paper's experiments on public data."""
