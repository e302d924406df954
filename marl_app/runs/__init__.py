"""Run directories: what a run left on disk, readable without Ray and torch.

checkpoints    find, verify, read and write checkpoints
state          the typed contents of a checkpoint's state.json
members        names and patterns -> players of a run
load           the bytes of a player of a run, and the store that holds them
"""
