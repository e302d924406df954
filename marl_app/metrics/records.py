"""Records of a run that pandas reads in one line: results of matches by opponent, and metrics over time.

pd.read_parquet(run / "matches")                         # one row per (iteration, learner, opponent, rule, side)
pd.read_json(run / "progress.jsonl", lines=True)         # one row per point of the curves
pd.read_json(run / "meta_strategy.jsonl", lines=True)    # one row per change of the pool, and every minute
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import ArrayLike

from marl_app.durable import make_folder, replacing
from marl_app.metrics.json_lines import JsonLines
from marl_app.metrics.names import check_key

COLUMNS = (
    ("iteration", pa.int64(), "Iteration in which the matches ended."),
    ("learner", pa.string(), "Id of the learner."),
    ("opponent", pa.string(), "Id of the opponent; the learner itself in self-play."),
    ("rule", pa.string(), "Rule and branch of the matchmaker that selected the opponent."),
    ("side", pa.int64(), "Side that the learner played."),
    ("wins", pa.int64(), "Matches that the learner won."),
    ("draws", pa.int64(), "Matches drawn."),
    ("losses", pa.int64(), "Matches that the learner lost."),
    (
        "scores",
        pa.float64(),
        "Sum of the learner's scores in these matches: wins plus half the draws, or an affine map of payoffs.",
    ),
    ("steps", pa.int64(), "Sum of the env steps of these matches."),
    ("win_rate", pa.float32(), "Win rate of the learner against the opponent that the matchmaker used."),
    ("probability", pa.float32(), "Probability with which the rule selected the opponent."),
)
_SCHEMA = pa.schema([(name, kind) for name, kind, _ in COLUMNS])


class Records:
    """The `matches` directory, `progress.jsonl` and `meta_strategy.jsonl` of one run directory.

    Match rows are buffered and become one Parquet part at `flush`, or when there are `buffer_rows` of them, so that a
    day of training makes hundreds of files, not one per iteration. If a process dies, the lost rows are from iterations
    after its last checkpoint, which a resumed run plays again.
    """

    def __init__(self, directory: str | Path, buffer_rows: int = 500_000) -> None:
        self._matches = Path(directory) / "matches"
        self._progress = JsonLines(Path(directory) / "progress.jsonl")
        self._meta_strategy = JsonLines(Path(directory) / "meta_strategy.jsonl")
        make_folder(self._matches)
        self._buffer: list[pa.RecordBatch] = []
        self._buffer_rows = buffer_rows

    def add_matches(self, iteration: int, rows: Mapping[str, ArrayLike]) -> None:
        """Add the match rows of one iteration: arrays [k] by column name, for all `COLUMNS` but `iteration`.

        Raises ValueError for missing or unknown columns, and for columns of different lengths.
        """
        names = [name for name in _SCHEMA.names if name != "iteration"]
        if set(rows) != set(names):
            raise ValueError(f"match rows need the columns {names}, not {sorted(rows)}")
        # Typed arrays in the order of the schema; pyarrow raises ValueError for other lengths.
        length = len(np.asarray(rows["learner"]))
        columns = {"iteration": np.full(length, iteration), **rows}
        arrays = [pa.array(columns[field.name], field.type) for field in _SCHEMA]
        self._buffer.append(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA))
        if sum(batch.num_rows for batch in self._buffer) >= self._buffer_rows:
            self.flush()

    def append_progress(self, values: Mapping[str, Any]) -> None:
        """Append the metrics of one or several iterations, with the last `iteration`; NaN becomes null.

        Raises KeyError for a key that is not in `names.py` and if `iteration` is missing; OSError if the line cannot be
        written, which is then retried with the next line.
        """
        for key in ("iteration", *values):
            check_key(key)
        self._progress.append({"iteration": values["iteration"], **values})

    def append_meta_strategy(
        self, iteration: int, env_steps: int, side: int | None, probabilities: Mapping[str, float]
    ) -> None:
        """Append the meta-strategy of the pool of a side (None: of the one pool): its probabilities by player id.

        Raises OSError if the line cannot be written, which is then retried with the next line.
        """
        point = {"iteration": iteration, "steps/env_steps": env_steps, "side": side}
        self._meta_strategy.append({**point, "probabilities": probabilities})

    def flush(self) -> None:
        """Write the buffered match rows as one new part, and progress durably: a checkpoint counts on both.

        The first flush writes a part even without rows.
        If it raises OSError (no space left), the rows stay in the buffer for the next flush.
        """
        # Progress first: the lines are small, and are safe even if the larger part fails.
        self._progress.flush()
        self._meta_strategy.flush()
        parts = self._parts()
        # The first flush writes a part without rows, so that the directory can be read before any match has ended.
        if self._buffer or not parts:
            number = int(parts[-1].stem.removeprefix("part-")) + 1 if parts else 0
            self._write(self._matches / f"part-{number:06d}.parquet", pa.Table.from_batches(self._buffer, _SCHEMA))
        self._buffer.clear()

    def truncate(self, iteration: int) -> None:
        """Drop all match rows and lines after `iteration`, at which a run resumes, and a torn last line."""
        self._progress.truncate(iteration)
        self._meta_strategy.truncate(iteration)
        self._buffer.clear()
        # Rows are in the order of iterations: from the newest part back to the first that keeps all its rows.
        for part in reversed(self._parts()):
            # Rows after `iteration` are dropped: a part becomes shorter, or is deleted if no row stays.
            table = pq.read_table(part)
            kept = table.filter(pc.less_equal(table["iteration"], iteration))
            if kept.num_rows == table.num_rows > 0:
                break
            if kept.num_rows:
                self._write(part, kept)
            else:
                part.unlink()

    def reported(self) -> dict[str, bool]:
        """Return each metric in `progress.jsonl`, and whether it has had a value other than 0."""
        found: dict[str, bool] = {}
        for line in self._progress.lines():
            for key, value in line.items():
                # NaN was written as null, which is None here.
                found[key] = found.get(key, False) or value not in (0, None)
        return found

    def past_matches(self, learner: str) -> Iterator[tuple[int, list[str], list[int]]]:
        """Yield (iteration, opponents, matches) of a learner, of the rows on disk, one part of `matches` at a time."""
        results = ["wins", "draws", "losses"]
        for part in self._parts():
            # Sums over rules and sides: one row per iteration and opponent.
            table = pq.read_table(part, columns=["iteration", "learner", "opponent", *results])
            table = table.filter(pc.equal(table["learner"], learner)).group_by(["iteration", "opponent"])
            sums = table.aggregate([(name, "sum") for name in results]).to_pandas()
            sums["matches"] = sums[[f"{name}_sum" for name in results]].sum(axis=1)
            for iteration, rows in sums.groupby("iteration"):
                yield int(iteration), rows["opponent"].tolist(), rows["matches"].tolist()

    def _parts(self) -> list[Path]:
        return sorted(self._matches.glob("part-*.parquet"))

    def _write(self, path: Path, table: pa.Table) -> None:
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
