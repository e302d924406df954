"""Architectures of networks, as RLModules for playing and training; one architecture per file."""
