"""Architectures that people distill, beside other ways to train them."""
