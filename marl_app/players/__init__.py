"""Players: what can take a side of a match. Nothing here depends on an env runner or on the league.

policy         the two protocols of a player, and the random policy
anchors, bots  players made from a name: random, MCTS, a user's class
networks       which agents share a network; central_state: what a centralized critic sees
modules/       the networks themselves, as RLlib modules
encoding       player <-> bytes
agent          a trained player, numpy in and numpy out
actions        policy outputs <-> actions of the environment
"""
