"""Training on RLlib: the algorithm in the driver process, env runners that play matches, learners.

One iteration, `MatchAlgorithm.training_step` and `end_iteration` in `training/algorithm.py`:

 1. Request. For each idle env runner the algorithm asks the callback that samples opponents (`on_sample_request`) once;
    by default the league's matchmaker answers: names, digests and shares of matches (`training/assignments.py`). The
    request has all that an env runner needs: weights of the learner, assignment, seed (`training/sampler.py` sends it).
 2. Play. The env runner loads snapshots that it lacks into its opponent slots, and steps B matches together
    (`sampling/env_runner.py`). A match that ends is replaced by a new one with an opponent of the assignment
    (`sampling/matchups.py`). Matches that are still running go on in the next fragment, so its first results are
    against opponents of the assignment before. At each step every network is called once for all rows that act
    (`sampling/acting.py`), and a collector keeps the trainee's rows (`ppo/collector.py`). The answer is a fragment:
    training columns, results per opponent, times.
 3. Record. When fragments fill a batch, they are counted, their results go into the league, and the turn of the learner
    may end (`training/turns.py`).
 4. Pipeline. With `runtime.pipeline` (default) the next batch is requested now, with the weights before step 5: it is
    one update old when it is trained on. Without it, step 1 of the next iteration requests it.
 5. Train. The learner of the fragments is trained: PPO (`ppo/`), TD learning (`td/`) or value decomposition
    (`team_q/`). Requests that are sent from now on carry its new weights.
 6. End. RLlib calls `log_result`. Callbacks answer the end of the iteration (`on_train_result`): learners are frozen
    into the pool, evaluations and alarms report. Then `on_report` passes metrics, pictures and messages to the
    callbacks that show and store them, and a checkpoint is saved if it is due (`on_iteration_end`).

Reading order: training/algorithm, run_spec, training/sampler, training/requests, training/assignments,
sampling/fragments, sampling/env_runner, sampling/matchups, sampling/acting, ppo/collector, ppo/experience,
ppo/algorithm, ppo/learner. Next to them: training/callback (events), training/weights (broadcast, freeze, reset),
sampling/opponent_slots. Who calls it: `tasks/train.py`. The networks are in `marl_app/players/`, checkpoints in
`marl_app/runs/`.
"""

import logging

logging.getLogger("ray.train.torch.config").setLevel(logging.WARNING)  # a line of every learner process at its start
