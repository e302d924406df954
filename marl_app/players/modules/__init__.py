"""Networks: RLModules that play and are trained. One file an architecture."""
