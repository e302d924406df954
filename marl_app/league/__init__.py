"""The control plane of a self-play league: who plays whom, and when a learner is frozen into the pool.

Pure Python and numpy: no weights, no Ray, no clock, no hidden randomness. Read it in this order:

    players        who takes part: learners and their snapshots
    payoff         how they do against one another
    view           what a matchmaker and a schedule may look at
    matchmakers/   the distribution over opponents, one rule a file
    assignment     from that distribution to the few opponents that fit in an env runner
    outcomes       what comes back: who won
    schedule       when a learner is frozen
    reset          and whether it then starts again
    thinning/      who leaves a full pool
    ratings        one number per player
    meta/          how the pool as a whole is played
    cycles         how much of the payoff no ratings can explain
    alarms         what may be going wrong
    league         all of it as the one value that is saved with a run

The ideas are AlphaStar's (Vinyals et al., 2019, "Grandmaster level in StarCraft II using multi-agent
reinforcement learning"); each file says where it differs.
"""
