"""trainers.mnist.columns."""

from trainers.mnist import columns

ERRORS = {"test_errors": [75, 84], "mean": 79.5, "ci95": [22.3, 136.66]}


def test_a_cell_for_every_heading():
    arm = {
        **ERRORS,
        "agreement": 0.99588,
        "fidelity_kl": 0.00543,
        "nll": 0.02718,
        "ece": 0.00249,
    }
    assert dict(zip(columns.HEAD, columns.of(arm), strict=True)) == {
        "errors, mean": "79.5",
        "95 % interval": "22.3 to 136.7",
        "a seed": "75, 84",
        "agreement": "99.59%",
        "KL to teacher": "0.0054",
        "NLL": "0.0272",
        "ECE": "0.25%",
    }


def test_a_single_seed_has_no_interval():
    single = {"test_errors": [75], "mean": 75.0, "ci95": [None, None]}
    assert columns.of_errors(single) == ["75.0", "-", "75"]
