"""trainers.speech.recipes."""

import dataclasses
import functools
import itertools

import pytest

from trainers.core.settings import describe
from trainers.speech import recipes
from trainers.speech.settings import DEFAULTS, TINY, Settings

SETTINGS = DEFAULTS["synthetic"]


def test_the_distilled_net_is_what_the_settings_say():
    arm = recipes.distilled(
        dataclasses.replace(
            SETTINGS, temperature=3.5, soft_weight=0.7, hard_weight=0.2
        )
    )
    assert (arm.taught_by, arm.temperature) == ("ensemble", 3.5)
    assert arm.views == SETTINGS.hearings
    assert (arm.soft_weight, arm.hard_weight) == (0.7, 0.2)
    assert (arm.layers, arm.units) == (
        SETTINGS.hidden_layers,
        SETTINGS.hidden_units,
    )


def test_the_control_differs_by_what_it_learns_from_alone():
    as_on_labels = dataclasses.replace(
        recipes.distilled(SETTINGS),
        name="control",
        taught_by="",
        temperature=1.0,
        soft_weight=0.0,
        hard_weight=1.0,
        hears=None,
        views=0,
    )
    assert recipes.control(SETTINGS) == as_on_labels
    member = dataclasses.replace(
        as_on_labels, name="member", epochs=SETTINGS.member_epochs
    )
    assert recipes.member(SETTINGS) == member


def test_the_sweep_has_all_pairs_of_the_paper():
    arms = recipes.sweep(dataclasses.replace(SETTINGS, sweep_epochs=7))
    # Section 4; of 0.5 the labels get half as much, or as much.
    ratios = {"half": 0.5, "equal": 1.0}
    assert set(arms) == set(itertools.product(ratios, (1.0, 2.0, 5.0, 10.0)))
    for (reading, temperature), arm in arms.items():
        assert arm.hard_weight / arm.soft_weight == ratios[reading]
        assert (arm.temperature, arm.epochs) == (temperature, 7)
        assert arm.taught_by == "ensemble"
    assert not recipes.sweep(dataclasses.replace(SETTINGS, sweep_epochs=0))


def test_few_clips():
    """Section 6: soft targets to the end, against labels stopped early."""
    settings = dataclasses.replace(SETTINGS, updates=2400)
    hard, soft = (
        recipes.few_clips(settings, 0.03, soft=soft) for soft in (False, True)
    )
    assert hard.keep_best and not soft.keep_best
    assert (hard.soft_weight, hard.taught_by) == (0, "")
    assert (soft.hard_weight, soft.taught_by) == (0, "all_clips")
    for arm in (hard, soft):
        # However few frames there are.
        assert arm.epochs * arm.steps_of(10) == 2400
        assert arm.share == 0.03
        # Hearings without end.
        assert arm.hears is not None and not arm.views
    whole = recipes.few_clips(settings, 1.0, soft=False)
    assert whole.hears is None
    # The labels of a clip hold for what is nearly the same.
    assert 1 < hard.hears.speed < soft.hears.speed
    assert hard.hears.noise > soft.hears.noise


def of_a_run(name):
    return [
        DEFAULTS[name],
        dataclasses.replace(DEFAULTS[name], **TINY),
    ]


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_what_their_flags_would_take(name):
    for settings in of_a_run(name):
        assert settings.dataset == name
        for flag, described in describe(Settings).items():
            value, bounds = getattr(settings, flag), described.bounds
            assert bounds["lower_bound"] <= value, flag
            assert value <= (bounds["upper_bound"] or value), flag
        assert settings.components & (settings.components - 1) == 0
        arm = recipes.few_clips(settings, 1.0, soft=False)
        assert arm.epochs * arm.steps_of(10) == settings.updates


soft = functools.partial(recipes.few_clips, share=recipes.SHARES[0], soft=True)
hard = functools.partial(recipes.few_clips, share=recipes.SHARES[0], soft=False)


@pytest.mark.parametrize(
    "dataset, recipe, name",
    [
        ("spoken_digit", recipes.member, "member-3x256-297b2a"),
        ("spoken_digit", recipes.control, "control-3x256-34a5b6"),
        ("spoken_digit", recipes.distilled, "distilled-3x256-T2-401183"),
        ("spoken_digit", soft, "soft-3x256-T4-3%-9683cf"),
        ("spoken_digit", hard, "hard-3x256-3%-87ef83"),
        ("synthetic", recipes.member, "member-2x64-567050"),
        ("synthetic", recipes.control, "control-2x64-8dcb7b"),
        ("synthetic", recipes.distilled, "distilled-2x64-T2-31db11"),
        ("synthetic", soft, "soft-2x64-T4-3%-94e64d"),
        ("synthetic", hard, "hard-2x64-3%-7c7052"),
    ],
)
def test_arms_keep_the_names_of_their_directories(dataset, recipe, name):
    settings = DEFAULTS[dataset]
    assert recipe(settings).directory_name() == name
