"""Scores of a learner against its earlier snapshots."""

import numpy as np
import pytest

from marl_app.evaluation.past_selves import scores_against_past


def test_thirds_and_the_mean():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    found = scores_against_past(np.stack([scores, scores]))
    assert [found[name] for name in ("past", "oldest", "middle", "newest")] == pytest.approx([0.65, 0.85, 0.65, 0.45])
    assert found["hardest"] == pytest.approx(0.4)


def test_the_hardest_score_is_not_biased_by_noise():
    # 20 snapshots of equal strength with 50 matches each: the lowest score is far below 0.5, the hardest is not.
    rng = np.random.default_rng(0)
    halves = rng.binomial(25, 0.5, (500, 2, 20)) / 25
    lowest = halves.mean(axis=1).min(axis=1).mean()
    assert lowest < 0.4
    assert np.mean([scores_against_past(repetition)["hardest"] for repetition in halves]) == pytest.approx(
        0.5, abs=0.01
    )


def test_fewer_than_three_snapshots():
    found = scores_against_past(np.array([[0.25, 0.5], [0.25, 0.5]]))
    assert (found["past"], found["oldest"], found["middle"]) == (0.375, 0.25, 0.5) and np.isnan(found["newest"])
    assert all(np.isnan(value) for value in scores_against_past(np.zeros((2, 0))).values())
