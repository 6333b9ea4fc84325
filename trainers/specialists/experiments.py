"""The experiments, in the order of the report."""

from trainers.core import sections
from trainers.specialists import distilled, overlap, soft_targets, table

EXPERIMENTS = {
    "table": sections.of_module(table),
    "overlap": sections.of_module(overlap),
    "soft_targets": sections.of_module(soft_targets),
    "distilled": sections.of_module(distilled),
}
