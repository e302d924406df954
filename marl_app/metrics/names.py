"""Every metric: its key, what it means and its unit. `docs/metrics.md` is generated from this file.

A key is `prefix/name`; a part in braces stands for any name without a slash. The x axis of every curve in TensorBoard
is `steps/env_steps`, of those under `circle/` the round, and of those under `cross_play/` the agent steps that a player
had trained on. Per-second numbers are wall-clock averages over one iteration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Metric:
    """One metric. `unit` is "1" for plain numbers, "share" for numbers in [0, 1], "image" for pictures."""

    key: str
    sentence: str
    unit: str


METRICS = (
    Metric("iteration", "Number of iterations finished, those before a resume included.", "iterations"),
    Metric("seconds", "Wall-clock time in training, that before a resume included.", "s"),
    Metric("steps/env_steps", "Env steps so far: one step of one match each, whoever acted.", "env steps"),
    Metric("steps/trained_agent_steps", "Actions of trainees so far that a learner has trained on.", "agent steps"),
    Metric("throughput/env_steps_per_s", "Env steps per second.", "env steps/s"),
    Metric(
        "throughput/trained_agent_steps_per_s",
        "Trainees' actions per second that a learner has trained on, each counted once whatever the epochs.",
        "agent steps/s",
    ),
    Metric("throughput/sample_wait_share", "Share of the iteration spent waiting for env runners' samples.", "share"),
    Metric("throughput/learn_share", "Share of the iteration spent in learner updates.", "share"),
    Metric("learner/policy_loss", "PPO's clipped surrogate loss, in the last minibatch.", "1"),
    Metric("learner/vf_loss", "Loss of the value function before its coefficient.", "squared return"),
    Metric("learner/total_loss", "What is minimized: policy, value and entropy terms together.", "1"),
    Metric("learner/entropy", "Mean entropy of the trained policy over its legal actions.", "nat"),
    Metric("learner/mean_kl", "Mean KL divergence between the policy that collected and the trained one.", "nat"),
    Metric("learner/grad_norm", "Global norm of the gradient before clipping.", "1"),
    Metric("learner/learning_rate", "Learning rate of the optimizer.", "1"),
    Metric("learner/explained_variance", "Share of the value targets' variance that the value function explains.", "1"),
    Metric("learner/td_error", "Mean absolute TD error of the team's value, in the last minibatch.", "reward"),
    Metric("learner/q_mean", "Mean value of the team's actions, in the last minibatch.", "reward"),
    Metric("learner/batch_rows", "Rows (trainees' actions) in the training batch of the iteration.", "agent steps"),
    Metric(
        "learner/rows_per_env_step",
        "Trainees' actions per env step: it grows with the number of agents that are trained.",
        "agent steps/env step",
    ),
    Metric(
        "learners/{learner}/{figure}",
        "The same as learner/{figure} of another learner than the first, in the iterations that it trains.",
        "as learner/{figure}",
    ),
    Metric("learners/{learner}/env_steps", "Env steps collected for one of several learners so far.", "env steps"),
    Metric("learners/{learner}/trained_agent_steps", "Its own actions that it has trained on.", "agent steps"),
    Metric("learners/{learner}/resets", "How often it has started again after a freeze.", "resets"),
    Metric("learners/{learner}/snapshots", "Its snapshots in the pool.", "snapshots"),
    Metric("learners/{learner}/elo", "Its Elo, on the same scale as that of the first.", "Elo"),
    Metric(
        "learners/{learner}/win_rate/{band}",
        "Its win rate against the whole pool, or a third of it by age: pool, oldest, middle or newest.",
        "share",
    ),
    Metric("exploration/epsilon", "Share of random actions in what is collected next.", "share"),
    Metric("replay/rows", "Env steps in the replay buffer, and the rows that they are bootstrapped from.", "env steps"),
    Metric("replay/bytes", "Memory of the replay buffer when it is full, in the algorithm's process.", "bytes"),
    Metric(
        "policies/parameters",
        "Parameters of all networks of the learner: with shared ones, the same for any number of agents.",
        "1",
    ),
    Metric("policies/broadcast_bytes", "Weights that an env runner is sent per update.", "bytes"),
    Metric("staleness/updates", "Updates between the weights that collected the batch and those it trains.", "updates"),
    Metric("matches/length", "Mean length of the matches that ended.", "env steps"),
    Metric("matches/per_s", "Matches that ended per second.", "matches/s"),
    Metric("matches/return", "Mean undiscounted return of a trainee's agent in the matches that ended.", "reward"),
    Metric("matches/first_side_score", "Mean score of the first side in self-play: 0.5 where it has no edge.", "score"),
    Metric("league/pool_size", "Snapshots in the pool.", "snapshots"),
    Metric("league/elo", "Elo of the main agent, fitted to the payoff.", "Elo"),
    Metric("league/elo_pool_mean", "Mean Elo of the pool's snapshots, on the same scale.", "Elo"),
    Metric(
        "league/effective_pool_size",
        "How many entirely different players would be as diverse as the pool: the Vendi score of its payoff rows.",
        "snapshots",
    ),
    Metric(
        "league/meta_strategy_size",
        "How many snapshots the meta-strategy mixes: the exponential of its entropy.",
        "snapshots",
    ),
    Metric(
        "league/cyclic_share",
        "Share of the pool's payoff that no ratings explain because it goes round in circles: 0 a ladder, 1 "
        "rock-paper-scissors.",
        "share",
    ),
    Metric("league/win_rate/pool", "Win rate of the main agent against the whole pool, draws half.", "share"),
    Metric(
        "league/win_rate/{band}",
        "Win rate of the main agent against a third of the pool by age: oldest, middle or newest.",
        "share",
    ),
    Metric("league/self_play_share", "Share of the matches in which the trainee played itself.", "share"),
    Metric(
        "league/placement_distortion",
        "Mean total variation distance from the matchmaker's distribution to the one that was dealt from, because it "
        "prefers what racks hold (league.placement_tolerance).",
        "share",
    ),
    Metric("league/payoff", "Win rate of every player (row) against every other (column).", "image"),
    Metric("league/ratings", "Elo of every player, snapshots in the order of their age.", "image"),
    Metric("league/matchmaking", "How likely the main agent meets each opponent, and its win rate there.", "image"),
    Metric(
        "evaluation/{anchor}/{mode}/score",
        "Mean score (win 1, draw 0.5; where payoffs have sizes 0.5 + payoff / (2 * the largest)) against a fixed "
        "anchor, sides alternated; mode: greedy or sampled actions.",
        "score",
    ),
    Metric(
        "evaluation/{anchor}/{mode}/agent_return",
        "Mean return per agent of a team without opponents (anchor: team), undiscounted.",
        "reward",
    ),
    Metric("evaluation/{anchor}/{mode}/team_return", "The same, summed over the agents.", "reward"),
    Metric("evaluation/{anchor}/{mode}/low", "Lower end of its 95 % interval: Wilson's of a score.", "score or reward"),
    Metric("evaluation/{anchor}/{mode}/high", "Upper end of its 95 % interval.", "score or reward"),
    Metric(
        "exploitability/agent",
        "Exact exploitability of the main agent, in small games of two players: NashConv divided by two.",
        "reward",
    ),
    Metric(
        "exploitability/meta_strategy",
        "Exact exploitability of the pool, played as its meta-strategy: one snapshot is drawn before each match.",
        "reward",
    ),
    Metric(
        "exploitability/agent_actions",
        "Probability of each action of the main agent, by iteration, in one-shot games.",
        "image",
    ),
    Metric("exploitability/meta_strategy_actions", "The same for the pool, played as its meta-strategy.", "image"),
    Metric("nash_conv/agent", "What the players could gain by best responses to the main agent, summed.", "reward"),
    Metric("nash_conv/meta_strategy", "The same for the pool, played as its meta-strategy.", "reward"),
    Metric(
        "circle/{league}/strength/{meta_strategy}",
        "Strength of a league's pool in the circle game, played by a meta-strategy: the score that the best response "
        "leaves it, at most 0.5.",
        "score",
    ),
    Metric("circle/{league}/distinct", "Distinct strategies in a league's pool.", "1"),
    Metric("circle/self_play/strength", "Strength of the single pair's agent.", "score"),
    Metric("circle/self_play/strategy", "Place on the circle of the pair's agent.", "1"),
    Metric("circle/walk", "Place on the circle of the single pair's agent, over the rounds.", "image"),
    Metric(
        "circle/strength/{meta_strategy}", "Strength of the single pair and of each league, over the rounds.", "image"
    ),
    Metric(
        "circle/diversity/{meta_strategy}", "Distinct strategies in the pool and its strength, round by round.", "image"
    ),
    Metric(
        "exploit/{mode}/score",
        "Mean score of a trained exploiter against its target (`task=exploit`); mode: greedy or sampled actions.",
        "score",
    ),
    Metric("exploit/{mode}/low", "Lower end of its 97.5 % interval, Wilson's.", "score"),
    Metric("exploit/{mode}/high", "Upper end of its 97.5 % interval.", "score"),
    Metric("exploit/bound", "The better mode's score beyond 0.5: a lower bound of exploitability.", "score"),
    Metric("exploit/bound_low", "The lower end of that bound, with 95 % confidence.", "score"),
    Metric("cross_play/elo", "Elo of a player in cross-play (`task=evaluate`), fitted to all its matches.", "Elo"),
    Metric("cross_play/elo_low", "Lower end of its 95 % interval.", "Elo"),
    Metric("cross_play/elo_high", "Upper end of its 95 % interval.", "Elo"),
    Metric("cross_play/openskill", "Mean of its OpenSkill rating; who has not played has 25.", "1"),
    Metric("cross_play/nash", "Its probability in the Nash equilibrium of the payoff.", "share"),
    Metric("cross_play/alpha_rank", "Its mass in alpha-rank.", "share"),
    Metric("cross_play/games", "Matches of cross-play in all.", "matches"),
    Metric(
        "cross_play/cyclic_share",
        "Share of the payoff in cross-play that no ratings explain, as in the league.",
        "share",
    ),
    Metric(
        "cross_play/ladder_cyclic_share",
        "What a ladder with the same ratings shows of it in as many games, by chance: its 95th percentile.",
        "share",
    ),
    Metric(
        "cross_play/ranking_doubt",
        "Elo by which neighbors in the ranking are expected to be in the wrong order.",
        "Elo",
    ),
    Metric("cross_play/payoff", "Mean score in cross-play of each player (row) against each other (column).", "image"),
    Metric("cross_play/ratings", "Elo of each player in cross-play with its interval.", "image"),
    Metric(
        "cross_play/cycles",
        "The strongest cycle of the payoff in cross-play: who is a little further round beats who is behind.",
        "image",
    ),
    Metric("alarms/forgetting", "1 while some snapshots are beaten clearly less than before, else 0.", "1"),
    Metric("alarms/inflation", "1 while the Elo has risen but not the score against anchors, or old snapshots.", "1"),
    Metric("alarms/cycling", "1 while the pool's cyclic share is clearly higher than it was, else 0.", "1"),
    Metric("alarms/stale_pairs", "1 while many snapshots were not met for long, so that win rates are old.", "1"),
    Metric("alarms/collapsed_diversity", "1 while a large pool plays like hardly more than one player.", "1"),
    Metric(
        "control_plane/assignments_per_s",
        "Assignments of opponents to env runners per second of the time that the league took for them: what one core "
        "could make.",
        "assignments/s",
    ),
    Metric("control_plane/assignment_bytes", "Mean bytes of such an assignment as a message.", "bytes"),
    Metric(
        "snapshots/{link}/bytes",
        "Bytes of opponents that moved: store_to_runner (past the caches), store_to_rack, rack_to_node, or "
        "node_to_runner (from shared memory into use).",
        "bytes",
    ),
    Metric("snapshots/{link}/count", "How many opponents these were.", "snapshots"),
    Metric(
        "snapshots/hit_rate", "Share of the requests for opponents that a rack's cache answered from memory.", "share"
    ),
    Metric("snapshots/fetch_ms", "Mean time from the request for an opponent to its verified bytes.", "ms"),
    Metric(
        "snapshots/wait_share", "Share of the env runners' time in which matches stood still for opponents.", "share"
    ),
    Metric(
        "snapshots/slot_bytes",
        "Weights of the opponents, but for guests of another architecture, in the env runner that holds the most.",
        "bytes",
    ),
    Metric(
        "snapshots/runner_private_bytes",
        "Memory that no other process shares, of the env runner that has the most (the driver, without others).",
        "bytes",
    ),
    Metric("snapshots/corrupt", "Opponents that came with other bytes than their digest's, and were thrown away.", "1"),
    Metric("snapshots/bypassed", "Opponents read from the store because the rack's cache was not to be had.", "1"),
    Metric("snapshots/failed", "Opponents that could not be had, so that matches went on without them.", "1"),
    Metric("snapshots/queued", "Snapshots that wait in the outbox until the store answers again.", "snapshots"),
    Metric("health/env_runner_restarts", "Env runners restarted after they died, so far.", "restarts"),
    Metric("health/failures", "Exceptions that training survived, so far.", "failures"),
    Metric(
        "health/nonfinite", "Metric values that were NaN or infinite and so are missing in a curve, so far.", "values"
    ),
    Metric("custom/{name}", "Reported by a callback of the user's own, which names it.", "the callback's"),
)


@cache
def find_metric(key: str) -> Metric:
    """The metric that `key` belongs to; a key goes before a pattern. Raises KeyError if there is none."""
    for metric in METRICS:
        if metric.key == key:
            return metric
    for metric in METRICS:
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/{}]+", re.escape(metric.key)), key):
            return metric
    raise KeyError(f"{key} is no metric of marl_app/metrics/names.py; add it there with a sentence and its unit")


def check_key(key: str) -> None:
    """Raises KeyError if `key` is not documented here."""
    find_metric(key)
