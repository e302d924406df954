"""A project outside marl_app: a game, league rules, a network and a callback."""
