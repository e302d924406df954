"""Metric names are unique and documented with a unit; braces match a single part."""

from itertools import groupby

import pytest

from marl_app.metrics.metric import NEVER
from marl_app.metrics.names import METRICS, check_key, curve_name, find_metric


def test_keys_are_unique_and_described_in_one_sentence_with_a_unit():
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.unit and metric.sentence.endswith("."), metric
        assert ". " not in metric.sentence, metric


def test_metrics_of_one_prefix_are_consecutive():
    """docs/metrics.md has a section per run of equal prefixes."""
    prefixes = [
        prefix for prefix, _ in groupby(metric.key.partition("/")[0] for metric in METRICS if "/" in metric.key)
    ]
    assert len(set(prefixes)) == len(prefixes)


@pytest.mark.parametrize(
    "key",
    [
        "league/win_rate/oldest",
        "evaluation/mcts_100/greedy/score",
        "evaluation/random/sampled/low",
        "evaluation/value_preserving_moves",
        "evaluation/value_preserving_moves/high",
        "circle/psro/strength/nash",
        "circle/latest/distinct",
        "circle/diversity/nash",
        "seconds",
    ],
)
def test_documented_keys_and_patterns_pass(key):
    check_key(key)


@pytest.mark.parametrize(
    "key", ["loss", "league/win_rate/", "league/win_rate/a/b", "league/win_rate/{band}/", "evaluation/random/greedy"]
)
def test_unknown_keys_are_an_error(key):
    with pytest.raises(KeyError, match="unknown metric"):
        check_key(key)


def test_exact_keys_take_precedence_over_patterns():
    assert find_metric("league/win_rate/pool").key == "league/win_rate/pool"
    assert find_metric("circle/self_play/strength").key == "circle/self_play/strength"


def test_tensorboard_shows_evaluation_and_league_first():
    """TensorBoard opens the first two groups of curves. Exact values of small games may come between these two."""
    curves = {
        curve_name(metric.key).partition("/")[0] for metric in METRICS if metric.curve != NEVER and "/" in metric.key
    }
    of_tasks_and_users = {"circle", "cross_play", "custom", "exploit"}
    first = [group for group in sorted(curves - of_tasks_and_users) if group <= "league"]
    assert first == ["evaluation", "exploitability", "league"]
