"""The output of a run: metric names, TensorBoard, figures, the progress line, match records and the summary.

names        key, meaning and unit of every metric; docs generates docs/metrics.md from it
tensorboard  curves, pictures and hyperparameters as event files
records      match records (Parquet) and progress.jsonl; summary: summary.json
progress     the line in the terminal
figures      arrays -> pictures; files: atomic writes, JSON without NaN
"""

import logging

# What matplotlib says of its cache of fonts, which it makes once for each user.
_FONT_CACHE = ("generated new fontManager", "Matplotlib is building the font cache; this may take a moment.")
logging.getLogger("matplotlib.font_manager").addFilter(lambda record: record.getMessage() not in _FONT_CACHE)
