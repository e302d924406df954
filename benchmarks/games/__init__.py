"""The measured games, one file each. The code that a contestant needs for a game is in the file of the contestant."""

from benchmarks.games import connect_four, simple_spread

GAMES = {game.name: game for game in (connect_four.GAME, simple_spread.GAME)}
