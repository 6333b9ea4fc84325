"""The experiments, in the order of the report."""

from trainers.characters import choice, few, table
from trainers.core import sections

EXPERIMENTS = {
    "table": sections.of_module(table),
    "few": sections.of_module(few),
    "choice": sections.of_module(choice),
}
