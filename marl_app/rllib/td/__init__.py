"""Temporal-difference learning of action values: TD(lambda) control (Sutton and Barto, 2018, chapter 12).

In this folder: settings (keys), algorithm, learner (loss). The rest is PPO's: env runners collect rows with lambda
returns (`ppo/collector.py`), and the learner makes the same minibatches and steps with another loss.
"""
