"""The experiments of `trainers.speech`, and what they are made of."""

from trainers.core.sections import of_module
from trainers.speech import choice, ensemble, small_data

# In the order of `--experiment=all` and of the report.
EXPERIMENTS = {
    "ensemble": of_module(ensemble),
    "small_data": of_module(small_data),
    "choice": of_module(choice),
}
