"""What `--data`, `--test`, `--held_out` and `--unlabelled_data` say."""

import dataclasses

UNLABELLED = "unlabelled_data"  # a flag
KINDS = ("tfds", "folder", "npz", "csv", "parquet", "tfrecord", "sklearn")
_FORMS = {
    "tfds": "NAME[/CONFIG][:SPLIT]",
    "tfrecord": "GLOB",
    "sklearn": "NAME",
}


@dataclasses.dataclass(frozen=True)
class Spec:
    """Where cases are.

    Attributes:
      flag: str, the flag that says so.
      given: str, its value.
      kind: str, one of `KINDS`.
      place: str, what follows "kind:".
    """

    flag: str
    given: str
    kind: str
    place: str

    @property
    def is_unlabelled(self):
        """Whether labels, if there are any, are not used."""
        return self.flag == UNLABELLED

    def __str__(self):
        return f"--{self.flag}={self.given}"


def of_data(given):
    """The `Spec` of `--data`.

    Raises:
      ValueError: if it has no kind that is known, or nothing after it.
    """
    kind, _, place = given.partition(":")
    if kind not in KINDS or not place:
        forms = ", ".join(f"{k}:{_FORMS.get(k, 'PATH')}" for k in KINDS)
        raise ValueError(
            f"--data must be one of {forms}. Received: --data={given}"
        )
    return Spec("data", given, kind, place)


def of_part(flag, given, data):
    """What `--test` or `--held_out` says.

    Args:
      flag: str, "test" or "held_out".
      given: str or None.
      data: the `Spec` of `--data`.

    Returns:
      None, a float between 0 and 1, or a `Spec` of the same kind as `data`.

    Raises:
      ValueError: if it is something else, or the same as `data`.
    """
    if given is None:
        return None
    if (share := _number(given)) is not None:
        if not 0 < share < 1:
            raise ValueError(
                f"--{flag} must be a share between 0 and 1, or say where its "
                f"cases are. Received: --{flag}={given}"
            )
        return share
    return of_place(flag, given, data, "a share such as 0.2, or ")


def of_place(flag, given, data, or_else=""):
    """Cases of the kind of `--data`, at another place.

    Args:
      flag: str, its name.
      given: str, its value.
      data: the `Spec` of `--data`.
      or_else: str, what the flag may also be, for the message.

    Returns:
      A `Spec` of the same kind as `data`.

    Raises:
      ValueError: if it is something else, or the same as `data`.
    """
    kind, _, place = given.partition(":")
    if kind == data.kind and place:
        spec = Spec(flag, given, kind, place)
    elif data.kind == "tfds" and kind not in KINDS:
        name = data.place.partition(":")[0]
        spec = Spec(flag, given, "tfds", f"{name}:{given}")
    else:
        splits = "a split of its own, or " if data.kind == "tfds" else ""
        raise ValueError(
            f"--{flag} must be {or_else}{splits}{data.kind}:"
            f"{_FORMS.get(data.kind, 'PATH')}, as --data is. Received: "
            f"--{flag}={given}, {data}"
        )
    if spec.place == data.place:
        raise ValueError(
            f"--{flag} must have other cases than --data. "
            f"Received: {spec}, {data}"
        )
    return spec


def _number(text):
    try:
        return float(text)
    except ValueError:
        return None
