"""Labels as classes 0, 1, 2, ..., whatever they are in the data."""

import numpy as np

_MANY = 12  # labels that a message shows
# Texts that mean no label, and would be names of classes, as "none" may be and
# "Na".
_NO_NAMES = (
    *("-1", "?", "n/a", "na", "nan", "null"),
    *("N/A", "NA", "NaN", "NAN", "NULL"),
)


def of_values(values, names, where, flag, by_number=False):
    """Classes of cases.

    Args:
      values: `[cases]` array of integers, of floats that are whole, of bools,
        or of strings, which are names of classes. -1 of numbers and "" say that
        a case has no label.
      names: tuple of strings, the classes that there are, or None to find them.
      where: str, what has the labels, for messages.
      flag: str, the flag that named them.
      by_number: bool, whether numbers may stand for classes that have names,
        0 for the first one.

    Returns:
      `(labels, names)`: `[cases]` int32 array, tuple of strings.

    Raises:
      ValueError: if labels are not of these kinds, not those of `names`, or
        integers other than 0 to classes - 1.
    """
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(
            f"--{flag} must have one label a case, [cases]; of one-hot labels "
            f"store np.argmax(y, 1). Received: {where} of shape "
            f"{list(values.shape)}"
        )
    if values.dtype.kind in "USO":
        texts = _texts(values, where, flag)
        numbers = _integers(texts)
        if numbers is None or are_names(names):
            return _of_names(texts, names, where, flag)
        _require_one_form(texts, where, flag)
        values = numbers
    elif are_names(names) and not by_number and values.dtype.kind in "biuf":
        # No classes of these names, which is said as of any other text.
        texts = ["" if v == -1 else _written(v) for v in values]
        return _of_names(texts, names, where, flag)
    return _of_numbers(values, names, where, flag)


def are_names(names):
    """Whether classes are known by other names than their numbers."""
    return names is not None and names != numbered(len(names))


def numbered(classes):
    """Names of classes that have none."""
    return tuple(str(k) for k in range(classes))


def listed(found):
    """A few of many, as text."""
    found = [str(one) for one in found]
    more = f" and {len(found) - _MANY} more" if len(found) > _MANY else ""
    return ", ".join(found[:_MANY]) + more


def number(text):
    """A number as float, without the underscores that Python allows.

    Raises:
      ValueError: if the text is none.
    """
    if "_" in text:
        raise ValueError(f"no number: {text}")
    return float(text)


def is_number(text):
    """Whether `number` reads a text."""
    try:
        number(text)
    except ValueError:
        return False
    return True


def _written(number):
    """A number as a table would have it."""
    return str(int(number)) if float(number).is_integer() else str(number)


def _texts(values, where, flag):
    """Labels as `[cases]` array of str; ValueError if bytes are no text."""
    try:
        return np.array([_text(v) for v in values], dtype=object)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--{flag} must have names of classes in UTF-8. "
            f"Received: {where} with {error.object}"
        ) from error


def _text(value):
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None else str(value)


def _integers(texts):
    """Labels of texts that are all whole numbers, or None."""
    try:
        numbers = [number(text) if text else -1.0 for text in texts]
    except ValueError:
        return None
    if not any(text for text in texts):
        return None
    return np.array(numbers)


def _require_one_form(texts, where, flag):
    """Refuses 1 beside 01, which may be two names or one number."""
    forms = {}
    for text in sorted({text for text in texts if text.isdigit()}):
        if forms.setdefault(int(text), text) != text:
            raise ValueError(
                f"--{flag} must have labels that are written alike: 1 and 01 "
                "may be one number or two names. Received: "
                f"{where} with {forms[int(text)]} and {text}"
            )


def _of_names(texts, names, where, flag):
    found = sorted({text for text in texts if text})
    if names is None:
        _require_names(found, where, flag)
        names = tuple(found)
    if strange := [name for name in found if name not in names]:
        raise ValueError(
            f"--{flag} must have the classes that --data has: "
            f"{listed(names)}. Received: {where} with {listed(strange)}"
        )
    place = {name: k for k, name in enumerate(names)} | {"": -1}
    return np.array([place[text] for text in texts], np.int32), names


def _require_names(found, where, flag):
    if no_names := [name for name in found if name in _NO_NAMES]:
        raise ValueError(
            f"--{flag} must have names of classes, and nothing where there is "
            "no label: empty those cells, or call the class otherwise. "
            f"Received: {where} with {listed(no_names)} among {listed(found)}"
        )


def _of_numbers(values, names, where, flag):
    if values.dtype.kind not in "biuf" or (values != np.round(values)).any():
        raise ValueError(
            f"--{flag} must have labels that are whole numbers, 0 to classes "
            f"- 1, or names of classes. Received: {where} with "
            f"{listed(_odd(values))}"
        )
    labels = values.astype(np.int64)
    found = np.unique(labels[labels != -1])
    last = len(names) - 1 if names is not None else len(found) - 1
    right = found.size == 0 or (found[0] >= 0 and found[-1] <= last)
    if not right and names is not None:
        raise ValueError(
            f"--{flag} must have the classes that --data has, 0 to {last}. "
            f"Received: {where} with the labels {listed(found)}"
        )
    if not right:
        one = f"; subtract {found[0]}" if _are_in_a_row(found) else ""
        raise ValueError(
            f"--{flag} must have labels from 0 to classes - 1, without a gap"
            f"{one}. Received: {where} with the labels {listed(found)}"
        )
    return labels.astype(np.int32), names or numbered(len(found))


def _odd(values):
    if values.dtype.kind != "f":
        return [f"values of {values.dtype}"]
    return values[values != np.round(values)]


def _are_in_a_row(found):
    return bool((np.diff(found) == 1).all())
