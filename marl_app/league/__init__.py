"""The control plane of a self-play league: matchmaking, results, and when a learner is frozen into the pool.

Pure Python and numpy: no weights, no Ray, no clock; random numbers come from generators that are passed in. Read it in
this order:

    players        learners and their snapshots
    payoff         results between players
    view           the read-only state that matchmakers and schedules receive
    matchmakers/   the distribution over opponents, one rule per file
    assignment     from that distribution to the few opponents that fit in an env runner
    outcomes       results that env runners return
    schedule       when a learner is frozen
    reset          whether a learner starts again after a freeze
    thinning/      which snapshot leaves a full pool
    ratings        one number per player
    meta/          the distribution over the pool as a whole
    cycles         the share of the payoff that no ratings can explain
    alarms         symptoms of a league that goes wrong
    league         all of it as one value that is saved with a run

The ideas are AlphaStar's (Vinyals et al., 2019, "Grandmaster level in StarCraft II using multi-agent
reinforcement learning"); each file says where it differs.
"""
