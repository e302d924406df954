"""The payoff: wins, draws and losses of each player against each other player, and its mean score.

As in AlphaStar's published pseudocode (Vinyals et al., 2019): a result first multiplies the counters (games, wins,
draws, losses) of its pair by `decay_per_game`, then adds 1 to games and to the counter of the result, so old games fade
as a learner changes; the win rate is (wins + draws / 2) / games, and 0.5 without games.

Where we differ:
- The decay is a setting. AlphaStar's 0.99 remembers about 100 games, right for games of ten minutes; here thousands
  end per second.
- Results come in batches, and a batch is added in closed form.
- Of the four counters only wins and draws are kept: all four decay together, so losses[a, b] = wins[b, a] and
  games = wins + draws + losses.
- A new snapshot starts with its learner's record (`copy_row`), not with 0.5 against all players.
- The table also keeps scores, for games whose payoffs have sizes, such as chips in poker: scores in [0, 1] are an
  affine map of the payoff (see `envs.batched`). Rules about single players (PFSP, schedules) use win rates; rules about
  the pool as a game (meta-strategies, cycles, thinning) use mean scores, because the Nash mixture of win rates is not
  that of the payoffs. In other games a score is 1, 0.5 or 0, and the two are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64s = NDArray[np.float64]


def wilson(score: ArrayLike, games: ArrayLike, confidence: float = 0.95) -> Float64s:
    """Return Wilson's interval (1927) of a mean score in [0, 1], as [..., 2] (low, high); [0, 1] without games.

    It was derived for wins and losses. With draws as half points it is conservative (too wide, never too narrow): of
    all results in [0, 1] with the same mean, wins and losses alone have the largest variance.
    """
    p, n = np.broadcast_arrays(np.asarray(score, np.float64), np.asarray(games, np.float64))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    played = n > 0
    n = np.where(played, n, 1.0)  # no division by 0; the result is replaced below
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low = np.where(played, np.clip(center - half, 0.0, 1.0), 0.0)
    high = np.where(played, np.clip(center + half, 0.0, 1.0), 1.0)
    return np.stack([low, high], axis=-1)


class Payoff:
    """The table of results between players, by id; it grows when a new id appears.

    `decay_per_game` in (0, 1]: 1 never forgets, d remembers about 1 / (1 - d) games per pair. "Games" below are these
    decayed, effective games. Ids that never played are allowed in all queries and have no games, and neither has a
    player against itself.
    """

    def __init__(self, decay_per_game: float = 1.0) -> None:
        if not 0.0 < decay_per_game <= 1.0:
            raise ValueError(f"decay_per_game must be in (0, 1], not {decay_per_game}")
        self.decay_per_game = decay_per_game
        # Row and column of each player. The tables have room for more players than that; unused rows are zeros.
        self._index: dict[str, int] = {}
        # Initial room for 8 players.
        self._wins: Float64s = np.zeros((8, 8))  # [row, column]: decayed wins of row against column
        self._draws: Float64s = np.zeros((8, 8))  # symmetric
        self._excess: Float64s = np.zeros((8, 8))  # antisymmetric: decayed scores beyond wins + draws / 2

    def record(self, home: str, away: str, wins: int, draws: int, losses: int, score: float | None = None) -> None:
        """Add a batch of results from the side of `home`; those of `away` are their mirror. Self-play is ignored.

        `score` is the sum of the scores of `home`; None: wins + draws / 2.

        The order inside a batch is unknown, so its n games have equal weights: a counter c, to which k of the n games
        belong, becomes c d^n + (k / n) (1 - d^n) / (1 - d) with d = `decay_per_game`. That is the expectation of the
        game-by-game rule over a random order of the batch, and equals that rule if all n games ended alike.

        Raises ValueError for negative counts.
        """
        if min(wins, draws, losses) < 0:
            raise ValueError(f"results of {home} against {away} must be >= 0, not {(wins, draws, losses)}")
        games = wins + draws + losses
        if home == away or games == 0:
            return
        h, a = self._row(home), self._row(away)
        # expm1 keeps the precision of 1 - d^n and 1 - d for d near 1.
        log_d = np.log(self.decay_per_game)
        old = np.exp(games * log_d)
        new = 1.0 if log_d == 0.0 else np.expm1(games * log_d) / np.expm1(log_d) / games  # mean weight of a game
        self._wins[h, a] = self._wins[h, a] * old + wins * new
        self._wins[a, h] = self._wins[a, h] * old + losses * new
        self._draws[h, a] = self._draws[a, h] = self._draws[h, a] * old + draws * new
        # Scores are stored as the excess over the points of wins and draws, which decays like these. Without sizes of
        # payoffs it is exactly 0, so mean scores and win rates are equal to the last bit.
        beyond = 0.0 if score is None else score - (wins + draws / 2)
        self._excess[h, a] = self._excess[h, a] * old + beyond * new
        self._excess[a, h] = -self._excess[h, a]

    def replace(self, home: str, away: str, wins: float, draws: float, losses: float, score: float) -> None:
        """Replace all results of a pair by these, from the side of `home`, without decay."""
        h, a = self._row(home), self._row(away)
        self._wins[h, a], self._wins[a, h] = wins, losses
        self._draws[h, a] = self._draws[a, h] = draws
        self._excess[h, a] = score - (wins + draws / 2)
        self._excess[a, h] = -self._excess[h, a]

    def copy_row(self, source: str, target: str) -> None:
        """Copy the record of `source` against all others to `target`; the two have no games against each other."""
        if source == target:
            return
        s, t = self._row(source), self._row(target)
        # First the row, then the column: the copy of the column reads [t, s], which the copy of the row has set to 0.
        for table in (self._wins, self._draws, self._excess):
            table[t, :] = table[s, :]  # the diagonal is 0, so both [t, s] and [t, t] become 0
            table[:, t] = table[:, s]

    def drop(self, player: str) -> None:
        """Remove a player and all its games; does nothing for an unknown player."""
        row = self._index.pop(player, None)
        if row is None:
            return
        # Later rows move up by one; the padding keeps the size of the tables, with a row of zeros at the end.
        self._index = {name: index - (index > row) for name, index in self._index.items()}
        self._wins, self._draws, self._excess = (
            np.pad(np.delete(np.delete(table, row, 0), row, 1), (0, 1))
            for table in (self._wins, self._draws, self._excess)
        )

    def win_rates(self, home: str, away: Sequence[str]) -> Float64s:
        """Return (wins + draws / 2) / games of `home` against each of `away`, [k]; 0.5 without games."""
        points, games = self._cells([home], away)
        return _rate(points, games).ravel()

    def scores(self, home: str, away: Sequence[str]) -> Float64s:
        """Return the mean scores of `home` against each of `away`, [k]; 0.5 without games."""
        return self._scores([home], away).ravel()

    def games(self, home: str, away: Sequence[str]) -> Float64s:
        """Return the effective games of `home` against each of `away`, [k]."""
        return self._cells([home], away)[1].ravel()

    def intervals(self, home: str, away: Sequence[str], confidence: float = 0.95) -> Float64s:
        """Return Wilson intervals of the win rates, from the effective games, [k, 2]; [0, 1] without games."""
        points, games = self._cells([home], away)
        return wilson(_rate(points, games).ravel(), games.ravel(), confidence)

    def matrix(self, players: Sequence[str], away: Sequence[str] | None = None) -> Float64s:
        """Return the mean scores M of `players` against each other, [n, n], with M + M.T = 1.

        With `away`: of `players` against each of `away`, [n, a].
        """
        return self._scores(players, players if away is None else away)

    def counts(self, players: Sequence[str]) -> tuple[Float64s, Float64s]:
        """Return wins (a draw is half a win) and games between `players`, [n, n] each; games = wins + wins.T."""
        return self._cells(players, players)

    def state_dict(self) -> dict[str, Any]:
        """Return the table as JSON types; `json` writes floats so that they read back exactly."""
        n = len(self._index)  # without the unused rows
        return {
            "players": list(self._index),
            "wins": self._wins[:n, :n].tolist(),
            "draws": self._draws[:n, :n].tolist(),
            "excess": self._excess[:n, :n].tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the table. `decay_per_game` is a setting and not part of the state."""
        n = len(state["players"])
        tables = [np.array(state[name], np.float64) for name in ("wins", "draws", "excess")]
        self._index = {player: index for index, player in enumerate(state["players"])}
        room = max(8, n)
        self._wins, self._draws, self._excess = (np.pad(table.reshape(n, n), (0, room - n)) for table in tables)

    def _row(self, player: str) -> int:
        """Return the row of a player, and add one for a new player; the tables double when they are full."""
        index = self._index.setdefault(player, len(self._index))
        room = len(self._wins)
        if index >= room:
            self._wins = np.pad(self._wins, (0, room))
            self._draws = np.pad(self._draws, (0, room))
            self._excess = np.pad(self._excess, (0, room))
        return index

    def _scores(self, home: Sequence[str], away: Sequence[str]) -> Float64s:
        """Return the mean scores [h, a] of `home` against `away`."""
        points, games = self._cells(home, away)
        h, a = self._rows(home), self._rows(away)
        # The row -1 of unknown players reads the last row of the tables; `known` then replaces it by 0.
        known = (h >= 0)[:, None] & (a >= 0)[None, :]
        return _rate(points + np.where(known, self._excess[np.ix_(h, a)], 0.0), games)

    def _rows(self, players: Sequence[str]) -> NDArray[np.intp]:
        """Return the rows of players, -1 for players that never played."""
        return np.array([self._index.get(player, -1) for player in players], np.intp)

    def _cells(self, home: Sequence[str], away: Sequence[str]) -> tuple[Float64s, Float64s]:
        """Return points (wins + draws / 2) and games of `home` against `away`, [h, a] each; 0 for unknown players."""
        h, a = self._rows(home), self._rows(away)
        draws = self._draws[np.ix_(h, a)]
        points = self._wins[np.ix_(h, a)] + draws / 2
        # losses[h, a] = wins[a, h], so the points of the other side come from the transposed cells.
        losing_points = self._wins[np.ix_(a, h)].T + draws / 2
        known = (h >= 0)[:, None] & (a >= 0)[None, :]
        return np.where(known, points, 0.0), np.where(known, points + losing_points, 0.0)


def _rate(points: Float64s, games: Float64s) -> Float64s:
    """Return points / games; 0.5 without games."""
    return np.divide(points, games, out=np.full_like(points, 0.5), where=games > 0)
