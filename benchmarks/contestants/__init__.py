"""What is measured: one file a way of training. Each offers `iterate(learn)` and `close()` (see `contestant.py`)."""
