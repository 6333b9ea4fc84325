"""trainers.speech.about."""

import dataclasses
import json

import numpy as np

from tests import speech_corpora
from trainers.speech import about


def test_what_is_told_of_a_run(tmp_path):
    run = speech_corpora.make_run(tmp_path, seeds=2)
    found = about.about(run)
    assert json.loads(json.dumps(found)) == found
    assert found["settings"] == dataclasses.asdict(run.settings)
    assert found["seeds"] == 2 and found["left_out"] == {}
    data = found["data"]["recordings"]
    # Three words of two voices: recordings 0 to 4; 5 and 6; 7.
    clips = {"test": 30, "training": 12, "held_out": 6}
    for part, count in clips.items():
        lengths = getattr(speech_corpora.corpus(), part).lengths
        expected = {"clips": count, "frames": lengths.sum(), "skipped": {}}
        assert data[part] == expected
    assert data["states"] == speech_corpora.lexicon().num_states
    assert np.isfinite(data["log_likelihoods"]).all()
    # Of one number of Gaussians, which is how it was made.
    assert len(data["log_likelihoods"]) == 1


def part(clips, frames, **skipped):
    return {"clips": clips, "frames": frames, "skipped": skipped}


FIGURES = {
    "settings": {"split": "speakers"},
    "data": {
        "speaker:a": {
            "training": part(1000, 50_000, silent=1),
            "held_out": part(10, 400),
            "test": part(20, 900),
            "states": 27,
        },
        "speaker:b": {
            "training": part(500, 20_000, silent=2, short=4),
            "held_out": part(5, 200),
            "test": part(30, 100),
            "states": 27,
        },
    },
}


def test_folds_are_told_together():
    [said] = about.say_data(FIGURES)
    assert said == (
        "Split speakers, 2 folds. "
        "training: 1,500 clips, 70,000 frames, skipped: 3 silent, 4 short; "
        "held-out: 15 clips, 600 frames, none skipped; "
        "test: 50 clips, 1,000 frames, none skipped."
    )
    alone = {**FIGURES, "data": {"speaker:a": FIGURES["data"]["speaker:a"]}}
    assert "1 fold." in about.say_data(alone)[0]


def test_what_the_lexicon_lacks():
    few = {**FIGURES, "left_out": {"cat": 2, "noise": 1500}}
    said = about.say_data(few)[1]
    assert "1,502 clips (noise 1,500, cat 2)." in said
    many = {**FIGURES, "left_out": {f"w{n}": n for n in range(1, 8)}}
    said = about.say_data(many)[1]
    assert "28 clips (w7 7, w6 6, w5 5, w4 4, w3 3 and 2 more)." in said


def test_strings_of_anybody_are_told():
    def told(speakers):
        return about.say_data({**FIGURES, "speakers": speakers})

    assert len(told(["ann", "bob"])) == 1
    [_, said] = told(["all"])
    assert "no speakers" in said


def test_provenance_tells_how_many_states():
    assert "of the 27 states" in about.provenance(FIGURES)
