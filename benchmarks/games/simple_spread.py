"""Simple Spread: a cooperative team of three that acts simultaneously, with a local or a centralized critic."""

from benchmarks.game import ENV, IN_PROCESS, Game, LineupEntry, Ratio

CRITICS = {"ippo": ("algorithm.critic=local",), "mappo": ("algorithm.critic=state",)}

GAME = Game(
    name="simple_spread",
    overrides=("env=simple_spread",),
    deciders=3,
    matches=512,
    rows=16384,
    lineup={
        "stock": LineupEntry("RLlib's own PPO", "stock"),
        "ippo": LineupEntry("ours, IPPO", overrides=CRITICS["ippo"]),
        "in_process": LineupEntry("ours, IPPO, one process", overrides=(*CRITICS["ippo"], *IN_PROCESS)),
        "bare": LineupEntry("bare loop", "bare"),
        "mappo": LineupEntry("ours, MAPPO", overrides=CRITICS["mappo"]),
    },
    ratios=(
        Ratio("ippo", "stock", ENV, 15.0),
        Ratio("ippo", "bare", ENV, 0.8),
        Ratio("in_process", "bare", ENV),
        Ratio("mappo", "stock", ENV),
        Ratio("mappo", "ippo", ENV),
    ),
)
