"""Reads `Example:` in a docstring as the section that Griffe calls `Examples:`.

Griffe renders the plural as code and leaves the singular as prose.
"""

import re

import griffe


class ExampleSections(griffe.Extension):
    """Renames the heading in every docstring that has it."""

    def on_object(self, *, obj, **kwargs):
        """Called for each object of the package, after it was read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"(?m)^Example:$", "Examples:", obj.docstring.value
            )
