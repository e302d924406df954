"""Matchmakers, the rules that pick opponents, one per file. `matchmaker` defines the protocol."""
