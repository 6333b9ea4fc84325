"""A small model from your own teacher and your own data."""
