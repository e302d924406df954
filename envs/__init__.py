"""Batched environments: B matches of one game step together, as arrays. Needs numpy and gymnasium, not Ray or torch.

The contract is `batched.BatchedEnv`: `acting` returns who must act, `observe` and `action_mask` rows for these agents;
`step` takes one action array per group and returns rewards and ends; `scores` returns the result of ended matches.

Contract:  batched.py; checker.py (`python -m marl_app.envs.checker OPTION`) and checked_*.py check an environment.
           solved.py: positions with known values, symmetries.py: symmetric views, board.py: what people see, which it
           may offer.
Native:    connect_four, tic_tac_toe, matrix_game, circle, two_step, repeat_previous, foraging, predator_prey,
           simple_spread, simple_tag and simple_speaker_listener (on particles.py), smax (with smax_*.py).
Adapters:  pettingzoo_adapter (with pettingzoo_copy, pettingzoo_spaces, pettingzoo_rendering) and openspiel_adapter step
           one copy per match, through copies.py; openspiel_tree turns small OpenSpiel games into tables. openspiel_text
           says what people see of both.
Parts:     grid.py (cells), legal.py (illegal actions), settings.py (wrong settings), random_play.py (random actions).

Each environment states its paper or original code, and where it differs, at the top of its file.
"""
