"""Measuring players: matches played to the end, against fixed opponents and against each other.

play                        play B matches from start to end; every other module builds on it
anchors, team               scores against fixed opponents; returns of a team without opponents
solved                      how often a move keeps the value of a position, where all values are known
match                       one match step by step, for people to watch or to play; film and frames draw it
contestants                 names and patterns -> players
cross_play                  play all pairs of a set of players: next_pair picks the pair, results counts
ranking, skill              Elo, OpenSkill, Nash and alpha-rank masses, cyclic share of the results
certified                   ranks, wins and cycles that hold with 95 % confidence: confidence_sequence, lottery
past_selves                 scores of a learner against its earlier snapshots
exploitability              exact NashConv of small games: game_tree reads a game into its sequence_form
best_response, exploiter    lower bound of exploitability from a trained exploiter; task=exploit as a subprocess
why                         explain from records why two players met in training, or never did
"""
