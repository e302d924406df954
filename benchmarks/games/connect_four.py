"""Connect Four: turn-based self-play, alone and in a league."""

from benchmarks.game import ENV, IN_PROCESS, TRAINED, Game, LineupEntry, Ratio

GAME = Game(
    name="connect_four",
    overrides=("env=connect_four", "env.openings=null"),
    deciders=1,
    matches=1024,
    rows=32768,
    lineup={
        "stock": LineupEntry("RLlib's own PPO", "stock"),
        "self_play": LineupEntry("ours, self-play"),
        "in_process": LineupEntry("ours, one process", overrides=IN_PROCESS),
        "bare": LineupEntry("bare loop", "bare"),
        "league": LineupEntry("ours, league of 16", overrides=("league/matchmaker=uniform",), pool=True),
        "league_half": LineupEntry("ours, half league of 16", overrides=("league/matchmaker=latest_pfsp",), pool=True),
    },
    ratios=(
        Ratio("self_play", "stock", TRAINED, 25.0),
        Ratio("self_play", "bare", TRAINED, 0.8),
        Ratio("in_process", "bare", TRAINED),
        Ratio("league", "self_play", ENV, 0.8),
        Ratio("league", "self_play", TRAINED, 0.8),
        Ratio("league_half", "self_play", ENV, 0.8),
        Ratio("league_half", "self_play", TRAINED),
    ),
)
