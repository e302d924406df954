"""The sizing of a league before it is built: time, storage, bytes over every link, and the first bottleneck.

Pure functions, standard library and numpy: nothing is printed, written or measured here. Read it in this order:

    size         the settings, and the arithmetic that needs nothing else
    opponents    the matchmaker's distribution over a full pool, by the age of the snapshots
    caches       cache miss rates, by simulation
    closed_form  the miss rate of one cache, by a formula: the cross-check
    traffic      four designs that move snapshots: bytes over every link, utilization, actor limits
    result       all of it, for one size and one matchmaker
    rows         the result as rows: quantity, design, link, value, unit

Then, independent of each other: `measured` reads settings from a run instead of assuming them; `simulation` plays the
transfers of thousands of actors one by one, to check `traffic`, and `limits` looks for the actor limit with it; `cold`
gives the bytes that move from a start with empty caches.
"""
