"""The arithmetic: pure functions on tensors."""
