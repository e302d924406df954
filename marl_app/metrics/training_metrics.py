"""Metrics of the run, its learners and the matches that they are trained on. See `names.py`."""

from __future__ import annotations

from marl_app.metrics.metric import NEVER, Metric

TRAINING = (
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
    Metric(
        "exploration/temperature", "Temperature of the policy that explores, a softmax of the values of actions.", "1"
    ),
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
)
