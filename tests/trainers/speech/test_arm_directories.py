"""Arms keep the directory names that runs on disk already have."""

import functools

import pytest

from trainers.speech import recipes

soft = functools.partial(recipes.few_clips, share=recipes.SHARES[0], soft=True)
hard = functools.partial(recipes.few_clips, share=recipes.SHARES[0], soft=False)


@pytest.mark.parametrize(
    "dataset, recipe, name",
    [
        ("spoken_digit", recipes.member, "member-3x256-297b2a"),
        ("spoken_digit", recipes.control, "control-3x256-34a5b6"),
        ("spoken_digit", recipes.distilled, "distilled-3x256-T2-cb197e"),
        ("spoken_digit", soft, "soft-3x256-T2-3%-286192"),
        ("spoken_digit", hard, "hard-3x256-3%-4b2f67"),
        ("synthetic", recipes.member, "member-2x64-567050"),
        ("synthetic", recipes.control, "control-2x64-8dcb7b"),
        ("synthetic", recipes.distilled, "distilled-2x64-T2-e4020a"),
        ("synthetic", soft, "soft-2x64-T2-3%-252555"),
        ("synthetic", hard, "hard-2x64-3%-73f7d1"),
    ],
)
def test_arms_keep_the_names_of_their_directories(dataset, recipe, name):
    settings = recipes.DEFAULTS[dataset]
    assert recipe(settings).directory_name() == name
