"""The rules that pick opponents, one a file. `matchmaker` says what a rule is."""
