"""The algorithm: one iteration of training, in the driver process."""
