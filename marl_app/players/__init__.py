"""Players: everything that can take a side of a match. Nothing here imports the sampling, training or evaluation.

policy         the two protocols of a player, and the random policy
anchors, bots  players made from a name: random, MCTS, a user's class
networks       which agents share a network
central_state  the input of a centralized critic
modules/       architectures of networks, in plain torch
trained_module a network as the RLlib module that training needs
encoding       player <-> bytes
agent          a trained player with a numpy interface; native_agent: in the terms of its environment
export         a network as a file for other programs
openspiel_bot, pettingzoo_policy    an agent in the loops of these libraries
actions        policy outputs <-> actions of the environment
"""
