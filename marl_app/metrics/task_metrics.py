"""Metrics of tasks other than training. See `names.py`."""

from __future__ import annotations

from marl_app.metrics.metric import Metric

TASKS = (
    # task=circle.
    Metric(
        "circle/{league}/strength/{meta_strategy}",
        "Strength of a league's pool in the circle game, as a meta-strategy plays it: its score against a best "
        "response, at most 0.5.",
        "score",
    ),
    Metric("circle/{league}/distinct", "Distinct strategies in a league's pool.", "1"),
    Metric(
        "circle/self_play/strength", "Strength of the agent of the single pair, which trains without a pool.", "score"
    ),
    Metric("circle/self_play/strategy", "Position of the single pair's agent on the circle.", "1"),
    Metric("circle/walk", "Position of the single pair's agent on the circle, by round.", "image"),
    Metric("circle/strength/{meta_strategy}", "Strength of the single pair and of each league, by round.", "image"),
    Metric(
        "circle/diversity/{meta_strategy}", "Distinct strategies in the pool against its strength, by round.", "image"
    ),
    # task=exploit.
    Metric(
        "exploit/{mode}/score",
        "Mean score of a trained exploiter against its target (`task=exploit`); mode: greedy or sampled actions.",
        "score",
    ),
    Metric("exploit/{mode}/low", "Lower end of the 97.5 % Wilson interval of that score.", "score"),
    Metric("exploit/{mode}/high", "Upper end of that interval.", "score"),
    Metric("exploit/bound", "Score of the better mode minus 0.5: a lower bound of exploitability.", "score"),
    Metric("exploit/bound_low", "Lower end of that bound, with 95 % confidence.", "score"),
    Metric("exploit/curve", "Score of the exploiter, of its better mode, over its env steps (`task.points`).", "score"),
    Metric("exploit/curve_low", "Lower end of the 97.5 % Wilson interval of that score.", "score"),
    Metric("exploit/curve_high", "Upper end of that interval.", "score"),
    # task=evaluate.
    Metric("cross_play/elo", "Elo of a player in cross-play (`task=evaluate`), fitted to all matches.", "Elo"),
    Metric("cross_play/elo_low", "Lower end of the 95 % interval of that Elo.", "Elo"),
    Metric("cross_play/elo_high", "Upper end of that interval.", "Elo"),
    Metric("cross_play/openskill", "Mean of the player's OpenSkill rating; 25 for a player without matches.", "1"),
    Metric("cross_play/nash", "Probability of the player in the Nash equilibrium of the payoff.", "share"),
    Metric("cross_play/alpha_rank", "Mass of the player in alpha-rank.", "share"),
    Metric("cross_play/games", "Total matches of cross-play.", "matches"),
    Metric(
        "cross_play/cyclic_share",
        "Share of the payoff in cross-play that is cyclic, as league/cyclic_share.",
        "share",
    ),
    Metric(
        "cross_play/ladder_cyclic_share",
        "95th percentile of that share for a ladder with the same ratings and numbers of games, which is noise only.",
        "share",
    ),
    Metric(
        "cross_play/ranking_doubt",
        "Elo by which neighbors in the ranking are expected to be in the wrong order.",
        "Elo",
    ),
    Metric(
        "cross_play/payoff",
        "Mean score in cross-play of each player (row) against each other player (column).",
        "image",
    ),
    Metric("cross_play/ratings", "Elo of each player in cross-play, with its interval.", "image"),
    Metric(
        "cross_play/cycles",
        "Strongest cycle of the payoff in cross-play: players beat those a little behind them on the circle.",
        "image",
    ),
)
