"""The only folder that knows RLlib: the algorithm, the env runner, the learner, the networks and the checkpoint."""
