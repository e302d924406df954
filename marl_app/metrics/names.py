"""All metrics: key, meaning and unit. `docs/metrics.md` is generated from this file.

A key is `prefix/name`; a part in braces stands for any name without a slash. The x axis of the curves in TensorBoard is
`steps/env_steps`; under `circle/` it is the round, and under `cross_play/` the agent steps that the player had trained
on. Rates per second are wall-clock averages over one iteration. A point is the mean of the iterations since the point
before (`averages.py`), and of a total its last value.

TensorBoard sorts groups by name, and opens the first two. So that these say how good the agent is (`evaluation`,
`league`), and not that nothing is wrong, alarms and counts of failures are curves from their first value other than 0;
the ends of intervals are below `uncertainty`; and what is of use in computations only is not a curve. `progress.jsonl`
always has all of it, under the keys that are here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

ALWAYS, NONZERO, NEVER = "always", "nonzero", "never"


@dataclass(frozen=True)
class Metric:
    """A metric. `unit` is "1" for plain numbers, "share" for numbers in [0, 1], "image" for pictures, "text" for texts.

    is_total: counted from the beginning of the run, or a state that has no mean, such as the size of the pool.
    curve: when it is a curve in TensorBoard: ALWAYS; NONZERO: from its first value other than 0; NEVER.
    """

    key: str
    sentence: str
    unit: str
    is_total: bool = False
    curve: str = ALWAYS


METRICS = (
    # Progress and speed of the run.
    Metric(
        "iteration",
        "Number of finished iterations, including those before a resume.",
        "iterations",
        is_total=True,
        curve=NEVER,
    ),
    Metric("seconds", "Wall-clock time in training, including that before a resume.", "s", is_total=True, curve=NEVER),
    Metric(
        "steps/env_steps",
        "Env steps so far: one step of one match each, however many agents acted.",
        "env steps",
        is_total=True,
    ),
    Metric(
        "steps/trained_agent_steps",
        "Actions of trainees so far that a learner has trained on.",
        "agent steps",
        is_total=True,
    ),
    Metric("throughput/env_steps_per_s", "Env steps per second.", "env steps/s"),
    Metric(
        "throughput/trained_agent_steps_per_s",
        "Actions of trainees per second that a learner has trained on, each counted once for all epochs.",
        "agent steps/s",
    ),
    Metric("throughput/sample_wait_share", "Share of the iteration spent waiting for env runners' samples.", "share"),
    Metric("throughput/learn_share", "Share of the iteration spent in learner updates.", "share"),
    # Updates of the first learner; learners/ has the same for the others.
    Metric("learner/policy_loss", "Policy loss in the last minibatch; of PPO the clipped surrogate loss.", "1"),
    Metric("learner/vf_loss", "Loss of the value function, without its coefficient.", "squared return"),
    Metric("learner/total_loss", "The minimized loss: sum of the policy, value and entropy terms.", "1"),
    Metric("learner/entropy", "Mean entropy of the trained policy over its legal actions.", "nat"),
    Metric(
        "learner/mean_kl",
        "Mean KL divergence between the policy that collected the batch and the trained policy.",
        "nat",
    ),
    Metric(
        "learner/magnet_kl",
        "Mean KL divergence from the reference policy of algorithm.magnet, in the last minibatch.",
        "nat",
    ),
    Metric(
        "learner/uniform_kl",
        "Mean KL divergence of the trained policy from the uniform one over the legal actions (uniform_kl_coeff).",
        "nat",
    ),
    Metric("learner/magnet_age", "Updates since the reference of magnet=snapshot was renewed.", "updates"),
    Metric("learner/grad_norm", "Global norm of the gradient before clipping.", "1"),
    Metric("learner/learning_rate", "Learning rate of the optimizer.", "1"),
    Metric("learner/explained_variance", "Share of the value targets' variance that the value function explains.", "1"),
    Metric("learner/td_error", "Mean absolute TD error of the team's value in the last minibatch.", "reward"),
    Metric("learner/q_mean", "Mean value of the team's actions in the last minibatch.", "reward"),
    Metric("learner/batch_rows", "Rows (actions of trainees) in the training batch of the iteration.", "agent steps"),
    Metric(
        "learner/rows_per_env_step",
        "Actions of trainees per env step, which grow with the number of trained agents.",
        "agent steps/env step",
    ),
    Metric(
        "learners/{learner}/{figure}",
        "The same as learner/{figure}, for each learner but the first, in the iterations in which it trains.",
        "as learner/{figure}",
    ),
    Metric(
        "learners/{learner}/env_steps",
        "Env steps collected for this learner so far, in runs with several learners.",
        "env steps",
        is_total=True,
    ),
    Metric(
        "learners/{learner}/trained_agent_steps",
        "Actions that this learner has trained on so far.",
        "agent steps",
        is_total=True,
    ),
    Metric("learners/{learner}/resets", "Number of resets of this learner so far.", "resets", is_total=True),
    Metric("learners/{learner}/snapshots", "Snapshots of this learner in the pool.", "snapshots", is_total=True),
    Metric("learners/{learner}/elo", "Elo of this learner, on the same scale as league/elo.", "Elo"),
    Metric(
        "learners/{learner}/win_rate/{band}",
        "Win rate of this learner against the whole pool or a third of it by age: pool, oldest, middle or newest.",
        "share",
    ),
    # TD learning only.
    Metric("exploration/temperature", "Temperature of the policy, a softmax of the values of actions.", "1"),
    # Value decomposition only: exploration and the replay buffer.
    Metric("exploration/epsilon", "Probability of a random action in the next iteration's collection.", "share"),
    Metric(
        "replay/rows",
        "Env steps in the replay buffer, including the rows from which they are bootstrapped.",
        "env steps",
    ),
    Metric("replay/bytes", "Memory of the full replay buffer in the algorithm's process.", "bytes"),
    # Networks, and the age of the weights that collected a batch.
    Metric(
        "policies/parameters",
        "Parameters of all networks of the learner; with shared networks independent of the number of agents.",
        "1",
    ),
    Metric("policies/broadcast_bytes", "Weights that are sent to an env runner per update.", "bytes"),
    Metric(
        "staleness/updates",
        "Updates between the weights that collected the batch and the weights that it trains.",
        "updates",
    ),
    # Matches that env runners played for training.
    Metric("matches/length", "Mean length of the matches that ended in the iteration.", "env steps"),
    Metric("matches/per_s", "Matches that ended per second.", "matches/s"),
    Metric("matches/return", "Mean undiscounted return per agent of the trainee in the matches that ended.", "reward"),
    Metric(
        "matches/first_side_score", "Mean score of the first side in self-play: 0.5 if it has no advantage.", "score"
    ),
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
    # Alarms: possible problems of the league.
    Metric(
        "alarms/forgetting",
        "1 while win rates against some snapshots are clearly lower than before, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "alarms/inflation",
        "1 while the Elo has risen but the score against anchors or old snapshots has not, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "alarms/cycling",
        "1 while the pool's cyclic share is clearly higher than before, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "alarms/stale_pairs",
        "1 while many snapshots have had no match for long, so that win rates are outdated, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "alarms/collapsed_diversity",
        "1 while a large pool is hardly more diverse than a single player, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    # Cost of assignments.
    Metric(
        "control_plane/assignments_per_s",
        "Assignments of opponents to env runners per second of the league's computing time: the capacity of one core.",
        "assignments/s",
        curve=NEVER,
    ),
    Metric("control_plane/assignment_bytes", "Mean size of an assignment as a message.", "bytes", curve=NEVER),
    # Transfers of opponents from the store to env runners.
    Metric(
        "snapshots/{link}/bytes",
        "Bytes of opponents transferred over a link: store_to_runner (bypassing the caches), store_to_rack, "
        "rack_to_node, or node_to_runner (from shared memory into a slot).",
        "bytes",
    ),
    Metric("snapshots/{link}/count", "Number of opponents transferred over the link.", "snapshots"),
    Metric(
        "snapshots/hit_rate",
        "Hit rate of the rack caches: share of the requests for opponents that they served from memory.",
        "share",
    ),
    Metric("snapshots/fetch_ms", "Mean time from the request for an opponent to its verified bytes.", "ms"),
    Metric("snapshots/wait_share", "Share of the env runners' time in which matches waited for opponents.", "share"),
    Metric(
        "snapshots/slot_bytes",
        "Weights of opponents, without guests of another architecture, in the env runner that holds the most.",
        "bytes",
    ),
    Metric(
        "snapshots/runner_private_bytes",
        "Private memory of the env runner with the most of it (of the driver, if it has no env runners).",
        "bytes",
    ),
    Metric(
        "snapshots/corrupt",
        "Opponents that were discarded because their bytes did not match their digest.",
        "1",
        curve=NONZERO,
    ),
    Metric(
        "snapshots/bypassed",
        "Opponents read from the store because the rack's cache was unavailable.",
        "1",
        curve=NONZERO,
    ),
    Metric(
        "snapshots/failed",
        "Opponents that could not be fetched, so that matches continued without them.",
        "1",
        curve=NONZERO,
    ),
    Metric(
        "snapshots/queued",
        "Snapshots in the outbox, to be stored when the store responds again.",
        "snapshots",
        curve=NONZERO,
    ),
    # Failures.
    Metric(
        "health/env_runner_restarts",
        "Env runners restarted after a failure, so far.",
        "restarts",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "health/failures",
        "Exceptions after which training continued, so far.",
        "failures",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "health/nonfinite",
        "NaN or infinite metric values, which are missing in their curves, so far.",
        "values",
        is_total=True,
        curve=NONZERO,
    ),
    # Each start of the run.
    Metric("run/start", "Command, commit, versions and machine of each start of the run.", "text"),
    Metric("custom/{name}", "A metric reported and documented by a user's callback.", "as documented there"),
)


@cache
def find_metric(key: str) -> Metric:
    """Return the metric of `key`; exact keys take precedence over patterns. Raises KeyError for an unknown key."""
    for metric in METRICS:
        if metric.key == key:
            return metric
    # A part in braces becomes a regular expression for any name without a slash or braces.
    for metric in METRICS:
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/{}]+", re.escape(metric.key)), key):
            return metric
    raise KeyError(
        f"unknown metric {key!r}: name it custom/<name>, or add it to marl_app/metrics/names.py with meaning and unit"
    )


def check_key(key: str) -> None:
    """Raise KeyError if `key` is not documented here."""
    find_metric(key)


def curve_name(key: str) -> str:
    """Return the name of a metric's curve in TensorBoard: its key, but `uncertainty/...` for the end of an interval."""
    measured, _, end = key.partition("/")[2].rpartition("/")
    is_end = key.startswith("evaluation/") and end in ("low", "high")
    return f"uncertainty/{measured}/{end}" if is_end else key
