"""A league without training: the real control plane, with players that are a few numbers.

Hundreds of thousands of matches per second, so that matchmakers and schedules can be compared before anything is spent
on them. Standard library, numpy and scipy only; nothing is printed or written here. Read it in this order:

    disc      players that learn: strength by experience, and a place in a game that goes round in circles
    recorded  or players of a run that was recorded
    play      the loop of a run, with the league that trains networks
    measures  what is asked of a league: whom a learner meets, what it finds, what it forgets

`league/oracles.py` is the opposite extreme: learners that become perfect in one round, in a game given as a table.
"""
