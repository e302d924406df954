"""Simple Spread: a cooperative team of three that acts simultaneously, with a local or a centralized critic."""

from benchmarks.game import ENV, IN_PROCESS, Entry, Game, Ratio

TWO_LEARNERS = (
    "runtime.num_env_runners=2",
    "runtime.num_envs_per_env_runner=256",
    "runtime.num_learners=2",
    "runtime.num_cpus=4",
    "algorithm.train_batch_size_per_learner=8192",
    "algorithm.minibatch_size=2048",
)
"""As many matches, and batches and minibatches as large, as those of one learner."""

CRITICS = {"ippo": ("algorithm.critic=local",), "mappo": ("algorithm.critic=state",)}

GAME = Game(
    name="simple_spread",
    overrides=("env=simple_spread",),
    deciders=3,
    matches=512,
    rows=16384,
    lineup={
        "stock": Entry("RLlib's own PPO", "stock"),
        "ippo": Entry("ours, IPPO", overrides=CRITICS["ippo"]),
        "in_process": Entry("ours, IPPO, one process", overrides=(*CRITICS["ippo"], *IN_PROCESS)),
        "two_learners": Entry("ours, IPPO, two learners", overrides=(*CRITICS["ippo"], *TWO_LEARNERS)),
        "bare": Entry("bare loop", "bare"),
        "mappo": Entry("ours, MAPPO", overrides=CRITICS["mappo"]),
    },
    ratios=(
        Ratio("ippo", "stock", ENV, 15.0),
        Ratio("ippo", "bare", ENV, 0.8),
        Ratio("two_learners", "stock", ENV, 15.0),
        Ratio("two_learners", "bare", ENV),
        Ratio("in_process", "bare", ENV),
        Ratio("mappo", "stock", ENV),
        Ratio("mappo", "ippo", ENV),
    ),
)
