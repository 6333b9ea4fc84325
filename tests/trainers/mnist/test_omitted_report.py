"""trainers.mnist.omitted_report: what is said of the figures."""

from trainers.mnist import omitted_report

METRICS = {
    "cases": 1000,
    "omitted_cases": 100,
    "ways": {
        "none": {"errors": {"mean": 50.0}, "omitted_errors": {"mean": 40.0}},
        "prior": {"errors": {"mean": 20.0}, "omitted_errors": {"mean": 5.0}},
        "labels": {"errors": {"mean": 1.0}, "omitted_errors": {"mean": 1.0}},
        "oracle": {"errors": {"mean": 0.0}, "omitted_errors": {"mean": 0.0}},
    },
}


def test_the_finding_is_about_the_bias_that_needs_no_label():
    """Not about the ways that look at held-out or evaluation labels."""
    assert omitted_report.findings(METRICS) == [
        "A bias chosen without any label takes the errors from 5.00% to "
        "2.00%, and the omitted digits that are right from 60.0% to 95.0%."
    ]


def test_and_about_a_bias_for_each_digit_where_it_was_measured():
    of_all = {"errors": {"mean": 10.0}, "omitted_errors": {"mean": 3.0}}
    ways = {**METRICS["ways"], "prior_of_all": of_all}
    *_, said = omitted_report.findings({**METRICS, "ways": ways})
    assert said.endswith("of known shares too, they are 1.00%.")
