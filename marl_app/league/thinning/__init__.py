"""Who leaves a full pool, one rule a file. `thinning` says what a rule is."""
