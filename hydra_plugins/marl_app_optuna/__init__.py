"""Hydra finds plugins in the namespace package `hydra_plugins`: this one adds `hydra/sweeper=optuna`."""
