"""Checks of arguments that functions and layers have in common."""


def check_bands(bands: object) -> None:
    """Raises a ValueError unless `bands` is a positive int."""
    if not isinstance(bands, int) or bands < 1:
        raise ValueError(
            f"`bands` must be a positive int. Received: bands={bands!r}"
        )


def check_context(before: object, after: object) -> None:
    """Raises a ValueError unless both are ints of at least 0."""
    for name, value in (("before", before), ("after", after)):
        if not isinstance(value, int) or value < 0:
            raise ValueError(
                f"`{name}` must be an int of at least 0. "
                f"Received: {name}={value!r}"
            )
