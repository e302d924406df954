"""Meta-strategies, distributions over the pool as a whole, one per file. `meta` defines the protocol."""
