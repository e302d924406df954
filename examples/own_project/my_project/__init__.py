"""A project of its own on top of marl_app: a game, league rules, a network and a callback."""
