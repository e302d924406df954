"""Metrics of the pool and of the agent's strength. See `names.py`."""

from __future__ import annotations

from marl_app.metrics.metric import Metric

LEAGUE = (
    # The pool and its payoff table, as the first learner meets it.
    Metric("league/pool_size", "Snapshots in the pool.", "snapshots", is_total=True),
    Metric("league/elo", "Elo of the main agent, fitted to the payoff.", "Elo"),
    Metric("league/elo_pool_mean", "Mean Elo of the pool's snapshots, on the same scale.", "Elo"),
    Metric(
        "league/effective_pool_size",
        "Number of entirely different players as diverse as the pool: the Vendi score of its payoff rows.",
        "snapshots",
    ),
    Metric(
        "league/meta_strategy_size",
        "Effective number of snapshots in the meta-strategy: the exponential of its entropy.",
        "snapshots",
    ),
    Metric(
        "league/cyclic_share",
        "Share of the pool's payoff that is cyclic, so that no ratings explain it: 0 for a ladder, 1 for "
        "rock-paper-scissors.",
        "share",
    ),
    Metric("league/win_rate/pool", "Win rate of the main agent against the whole pool; draws count half.", "share"),
    Metric(
        "league/win_rate/{band}",
        "Win rate of the main agent against a third of the pool by age: oldest, middle or newest.",
        "share",
    ),
    Metric(
        "league/self_play_share",
        "Share of the results (one per match and opposing side) that the trainee had against itself.",
        "share",
    ),
    Metric(
        "league/placement_distortion",
        "Mean total variation distance between the matchmaker's distribution and the distribution of assignments, "
        "which prefers opponents that racks hold (league.placement_tolerance).",
        "share",
    ),
    Metric("league/payoff", "Win rate of each player (row) against each other player (column).", "image"),
    Metric("league/ratings", "Elo of each player, snapshots in the order of their age.", "image"),
    Metric(
        "league/matchmaking",
        "Probability that the main agent meets each opponent, self-play apart, and its win rate against it.",
        "image",
    ),
    Metric(
        "league/opponents",
        "Share of each opponent in the main agent's matches over time, without self-play.",
        "image",
    ),
    Metric(
        "league/lineages",
        "Elo of each learner's snapshots over the agent steps it had trained on, joined to the snapshot from which the "
        "training continued.",
        "image",
    ),
    # Evaluation against fixed opponents, or of a team.
    Metric(
        "evaluation/{anchor}/{mode}/score",
        "Mean score (win 1, draw 0.5; or, for payoffs of different sizes, 0.5 + payoff / (2 * largest payoff)) against "
        "a fixed anchor, with alternating sides; mode: greedy or sampled actions.",
        "score",
    ),
    Metric(
        "evaluation/{anchor}/{mode}/agent_return",
        "Mean undiscounted return per agent of a team without opponents (anchor: team).",
        "reward",
    ),
    Metric(
        "evaluation/{anchor}/{mode}/team_return",
        "Mean undiscounted return of such a team, summed over its agents.",
        "reward",
    ),
    Metric(
        "evaluation/{anchor}/{mode}/low",
        "Lower end of the 95 % interval of score (Wilson) or agent_return (normal).",
        "score or reward",
    ),
    Metric("evaluation/{anchor}/{mode}/high", "Upper end of that interval.", "score or reward"),
    Metric(
        "evaluation/value_preserving_moves",
        "Share of the environment's solved positions in which the agent's greedy move keeps the best value.",
        "share",
    ),
    Metric("evaluation/value_preserving_moves/low", "Lower end of its 95 % interval (Wilson).", "share"),
    Metric("evaluation/value_preserving_moves/high", "Upper end of that interval.", "share"),
    Metric("evaluation/value_preserving_moves/sampled", "Its expected value with sampled actions.", "share"),
    Metric(
        "evaluation/match",
        "Positions of a greedy match of the agent, on the first side, against the last anchor; of a team alone.",
        "image",
    ),
    # Exact values in small games of two players.
    Metric(
        "exploitability/agent",
        "Exact exploitability of the main agent in small games of two players: NashConv divided by two.",
        "reward",
    ),
    Metric(
        "exploitability/meta_strategy",
        "Exact exploitability of the pool's meta-strategy, which draws one snapshot before each match.",
        "reward",
    ),
    Metric(
        "exploitability/agent_actions",
        "Probability of each action of the main agent in one-shot games, by iteration.",
        "image",
    ),
    Metric(
        "exploitability/meta_strategy_actions",
        "Probability of each action of the pool's meta-strategy in one-shot games, by iteration.",
        "image",
    ),
    Metric(
        "nash_conv/agent",
        "NashConv of the main agent: the summed gains of both players by best responses to it.",
        "reward",
    ),
    Metric("nash_conv/meta_strategy", "NashConv of the pool's meta-strategy.", "reward"),
)
