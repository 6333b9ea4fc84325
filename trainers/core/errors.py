"""The error of a run that cannot continue."""


class FlagsError(ValueError):
    """A run cannot continue, for a reason that other flags or files can mend.

    The script prints its message as a usage error, without a traceback.
    """
