"""The games that are measured: one file each. What a contestant needs to play one stands with the contestant."""

from benchmarks.games import connect_four, simple_spread

GAMES = {game.name: game for game in (connect_four.GAME, simple_spread.GAME)}
