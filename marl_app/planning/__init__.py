"""The sizing of a league before it is built: time, storage, bytes over every link, and what gives way first.

Pure functions, standard library and numpy: nothing is printed, written or measured here. Read it in this order:

    size         the settings, and the arithmetic that needs nothing else
    opponents    whom a full pool's matchmaker picks, by the age of the snapshots
    caches       the share of requests that caches do not answer, by simulation
    closed_form  the same for one cache, by a formula: the cross-check
    traffic      four ways to move snapshots, the bytes of each over every link, and their limits
    answer       all of it, for one size and one matchmaker
    rows         the answer as rows: quantity, design, link, value, unit
    measured     settings read from a run instead
"""
