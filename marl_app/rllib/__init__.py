"""Training on RLlib: the algorithm in the driver process, env runners that play matches, learners.

One iteration, in `training/algorithm.py`, `MatchAlgorithm.training_step`:

 1. For each idle env runner the algorithm asks the callback that samples opponents (`on_sample_request`) once.
 2. The league's matchmaker answers with an assignment: names, digests and shares of matches (`assignments.py`).
 3. The request goes out: weights of the learner, assignment, seed. It holds all that an env runner needs.
 4. The env runner loads snapshots that it lacks into its opponent slots, and steps B matches together; a match that
    ends is replaced by a new one, with an opponent of the assignment (`sampling/env_runner.py`, `matchups.py`).
 5. At each step every network is called once for all rows that act (`acting.py`); a collector keeps the trainee's rows.
 6. The env runner returns a fragment: training columns, results per opponent, times.
 7. When fragments fill a batch, the algorithm counts them and records their results in the league.
 8. The algorithm trains the learner whose turn it is: PPO (`ppo/`) or value decomposition (`team_q/`).
 9. The new weights are broadcast: the next requests carry them.
10. Callbacks answer the end of the iteration (`on_train_result`): learners are frozen into the pool, evaluations and
    alarms report. Metrics, pictures and messages go to those that show them (`on_report`).

Reading order: run_spec, training/algorithm, training/assignments, training/events, sampling/fragments,
sampling/env_runner, sampling/matchups, sampling/acting, sampling/opponent_slots, ppo/algorithm, ppo/experience,
ppo/learner. The networks are in `marl_app/players/`, checkpoints in `marl_app/runs/`.
"""
