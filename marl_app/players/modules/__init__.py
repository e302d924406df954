"""Architectures of networks, in plain torch, for playing and training; one architecture per file."""
