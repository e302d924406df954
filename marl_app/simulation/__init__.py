"""A league without training: the real control plane, with synthetic players that are a few numbers each.

It plays hundreds of thousands of matches per second, so that matchmakers and schedules can be compared before spending
compute on them. Standard library, numpy and scipy only; nothing is printed or written here. Read it in this order:

    disc      players that learn: skill by experience, and a position in a cyclic game
    recorded  alternatively, players of a recorded run
    play      the loop of a run, with the league that trains networks
    measures  coverage, detection of an intruder, and forgetting, measured for one learner

`league/oracles.py` is the opposite extreme: learners that become perfect in one round, in a game given as a table.
"""
