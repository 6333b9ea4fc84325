"""The experiments, in the order of the report."""

from trainers.characters import choice, table
from trainers.core import sections

EXPERIMENTS = {
    "table": sections.of_module(table),
    "choice": sections.of_module(choice),
}
