"""Thinnings, the rules that pick which snapshot leaves a full pool, one per file. `thinning` defines the protocol."""
