"""The arithmetic: pure functions on tensors, which import nothing of kdtf."""
