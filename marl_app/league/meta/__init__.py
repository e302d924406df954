"""Meta-strategies: what the league as a whole plays, one a file. `meta` says what a meta-strategy is."""
