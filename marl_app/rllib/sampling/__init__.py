"""The env runner: plays matches as arrays and returns fragments of experience."""
