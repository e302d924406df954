"""The payoff: how often each player wins, draws and loses against each other one, and its mean score.

As in AlphaStar's published pseudocode (Vinyals et al., 2019): a result first multiplies the counters (games, wins,
draws, losses) of its pair by `decay_per_game`, then adds 1 to those it concerns, so old games fade as a learner
changes; the win rate is (wins + draws / 2) / games, and 0.5 without games.

Where we differ:
- The decay is a setting. AlphaStar's 0.99 remembers about 100 games, right for games of ten minutes; here thousands
  end per second.
- Results come in batches, and a batch is added in closed form.
- Of the four counters only wins and draws are kept: all four decay together, so losses[a, b] = wins[b, a] and
  games = wins + draws + losses.
- A new snapshot starts with its learner's record (`copy_row`), not with 0.5 against everybody.
- Beside who won, it keeps how much, for games whose payoffs have sizes, as chips in poker: scores in [0, 1] that are an
  affine map of the payoff (see `envs.batched`). What is asked of a player (PFSP, schedules) goes by win rates; what the
  pool is as a game (meta-strategies, its cycles, who is missed least) by mean scores: the Nash mixture of win rates is
  not that of the payoffs. Elsewhere a score is 1, 0.5 or 0, and both are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def wilson(score: ArrayLike, games: ArrayLike, confidence: float = 0.95) -> Floats:
    """Wilson's interval (1927) of a mean score in [0, 1], as [..., 2] (low, high); [0, 1] where there are no games.

    It was made for wins and losses. With draws as half points it is conservative (too wide, never too narrow): among
    all results in [0, 1] with the same mean, wins and losses alone vary most.
    """
    p, n = np.broadcast_arrays(np.asarray(score, np.float64), np.asarray(games, np.float64))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    played = n > 0
    n = np.where(played, n, 1.0)
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low = np.where(played, np.clip(center - half, 0.0, 1.0), 0.0)
    high = np.where(played, np.clip(center + half, 0.0, 1.0), 1.0)
    return np.stack([low, high], axis=-1)


class Payoff:
    """The table of results between player ids; it grows when an id first appears.

    `decay_per_game` in (0, 1]: 1 never forgets, d remembers about 1 / (1 - d) games per pair. "Games" below are these
    decayed, effective games. An id that never played has no games, and nobody has games against himself: to be asked
    about either is no error.
    """

    def __init__(self, decay_per_game: float = 1.0) -> None:
        if not 0.0 < decay_per_game <= 1.0:
            raise ValueError(f"decay_per_game must be in (0, 1], not {decay_per_game}")
        self.decay_per_game = decay_per_game
        self._index: dict[str, int] = {}
        self._wins: Floats = np.zeros((8, 8))  # [row, column]: decayed wins of row against column
        self._draws: Floats = np.zeros((8, 8))  # symmetric
        self._excess: Floats = np.zeros((8, 8))  # antisymmetric: decayed scores beyond wins + draws / 2

    def record(self, home: str, away: str, wins: int, draws: int, losses: int, score: float | None = None) -> None:
        """Add a batch of results as `home` saw them; `away` sees them mirrored. Self-play is never recorded.

        `score` is the sum of the scores of `home`; None: wins + draws / 2.

        The order inside a batch is unknown, so its n games share their weight: each counter c, which grew by k of the
        n, becomes c d^n + (k / n) (1 - d^n) / (1 - d) with d = `decay_per_game`. That is the expectation of the
        game-by-game rule over a random order of the batch, and exactly that rule if all n games ended alike.

        Raises ValueError for negative counts.
        """
        if min(wins, draws, losses) < 0:
            raise ValueError(f"results of {home} against {away} must be >= 0, not {(wins, draws, losses)}")
        games = wins + draws + losses
        if home == away or games == 0:
            return
        h, a = self._row(home), self._row(away)
        log_d = np.log(self.decay_per_game)
        old = np.exp(games * log_d)
        new = 1.0 if log_d == 0.0 else np.expm1(games * log_d) / np.expm1(log_d) / games  # mean weight of a game
        self._wins[h, a] = self._wins[h, a] * old + wins * new
        self._wins[a, h] = self._wins[a, h] * old + losses * new
        self._draws[h, a] = self._draws[a, h] = self._draws[h, a] * old + draws * new
        beyond = 0.0 if score is None else score - (wins + draws / 2)
        self._excess[h, a] = self._excess[h, a] * old + beyond * new
        self._excess[a, h] = -self._excess[h, a]

    def replace(self, home: str, away: str, wins: float, draws: float, losses: float, score: float) -> None:
        """Put these results in the place of all that is known of a pair; as `record` otherwise, but nothing decays."""
        h, a = self._row(home), self._row(away)
        self._wins[h, a], self._wins[a, h] = wins, losses
        self._draws[h, a] = self._draws[a, h] = draws
        self._excess[h, a] = score - (wins + draws / 2)
        self._excess[a, h] = -self._excess[h, a]

    def copy_row(self, source: str, target: str) -> None:
        """Give `target` the record of `source` against everybody else, and no games against `source` itself."""
        if source == target:
            return
        s, t = self._row(source), self._row(target)
        for table in (self._wins, self._draws, self._excess):
            table[t, :] = table[s, :]  # the diagonal is 0, so both [t, s] and [t, t] become 0
            table[:, t] = table[:, s]

    def drop(self, player: str) -> None:
        """Forget a player and all its games; nothing happens if there are none."""
        row = self._index.pop(player, None)
        if row is None:
            return
        self._index = {name: index - (index > row) for name, index in self._index.items()}
        self._wins, self._draws, self._excess = (
            np.pad(np.delete(np.delete(table, row, 0), row, 1), (0, 1))
            for table in (self._wins, self._draws, self._excess)
        )

    def win_rates(self, home: str, away: Sequence[str]) -> Floats:
        """(wins + draws / 2) / games of `home` against each of `away`, [k]; 0.5 where there are no games."""
        points, games = self._cells([home], away)
        return _rate(points, games).ravel()

    def scores(self, home: str, away: Sequence[str]) -> Floats:
        """Mean score of `home` against each of `away`, [k]; 0.5 where there are no games."""
        return self._scores([home], away).ravel()

    def games(self, home: str, away: Sequence[str]) -> Floats:
        """Effective games of `home` against each of `away`, [k]."""
        return self._cells([home], away)[1].ravel()

    def intervals(self, home: str, away: Sequence[str], confidence: float = 0.95) -> Floats:
        """Wilson intervals of the win rates on the effective games, [k, 2]; [0, 1] where there are none."""
        points, games = self._cells([home], away)
        return wilson(_rate(points, games).ravel(), games.ravel(), confidence)

    def matrix(self, players: Sequence[str], away: Sequence[str] | None = None) -> Floats:
        """The pool as a game: mean scores of each of `players` against each, [n, n], with M + M.T = 1.

        Or of each of them against each of `away`, [n, a].
        """
        return self._scores(players, players if away is None else away)

    def counts(self, players: Sequence[str]) -> tuple[Floats, Floats]:
        """Wins (a draw is half a win) and games between `players`, [n, n] each; games = wins + wins.T."""
        return self._cells(players, players)

    def state_dict(self) -> dict[str, Any]:
        """JSON types only; `json` writes floats so that they read back exactly."""
        n = len(self._index)
        return {
            "players": list(self._index),
            "wins": self._wins[:n, :n].tolist(),
            "draws": self._draws[:n, :n].tolist(),
            "excess": self._excess[:n, :n].tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the table. `decay_per_game` is a setting and not part of it."""
        n = len(state["players"])
        tables = [np.array(state[name], np.float64) for name in ("wins", "draws", "excess")]
        self._index = {player: index for index, player in enumerate(state["players"])}
        room = max(8, n)
        self._wins, self._draws, self._excess = (np.pad(table.reshape(n, n), (0, room - n)) for table in tables)

    def _row(self, player: str) -> int:
        """The row of a player, made on first sight; the tables double when they are full."""
        index = self._index.setdefault(player, len(self._index))
        room = len(self._wins)
        if index >= room:
            self._wins = np.pad(self._wins, (0, room))
            self._draws = np.pad(self._draws, (0, room))
            self._excess = np.pad(self._excess, (0, room))
        return index

    def _scores(self, home: Sequence[str], away: Sequence[str]) -> Floats:
        """Mean scores [h, a] of each of `home` against each of `away`."""
        points, games = self._cells(home, away)
        h, a = self._rows(home), self._rows(away)
        known = (h >= 0)[:, None] & (a >= 0)[None, :]
        return _rate(points + np.where(known, self._excess[np.ix_(h, a)], 0.0), games)

    def _rows(self, players: Sequence[str]) -> NDArray[np.intp]:
        """Rows of players, -1 for who never played."""
        return np.array([self._index.get(player, -1) for player in players], np.intp)

    def _cells(self, home: Sequence[str], away: Sequence[str]) -> tuple[Floats, Floats]:
        """Points (wins + draws / 2) and games of each of `home` against each of `away`, [h, a] each."""
        h, a = self._rows(home), self._rows(away)
        draws = self._draws[np.ix_(h, a)]
        points = self._wins[np.ix_(h, a)] + draws / 2
        losing_points = self._wins[np.ix_(a, h)].T + draws / 2
        known = (h >= 0)[:, None] & (a >= 0)[None, :]
        return np.where(known, points, 0.0), np.where(known, points + losing_points, 0.0)


def _rate(points: Floats, games: Floats) -> Floats:
    return np.divide(points, games, out=np.full_like(points, 0.5), where=games > 0)
