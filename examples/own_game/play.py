"""Matches of a trained agent against random play: python play.py nim|bidding RUN [MATCHES]"""

import importlib
import sys

import numpy as np

import marl_app

NAME, RUN, MATCHES = sys.argv[1], sys.argv[2], int((*sys.argv, 100)[3])


def random_policy(observation, agent):
    """Return a random legal action."""
    return int(rng.choice(np.flatnonzero(observation["action_mask"])))


def play_aec(env, policies):
    """Play a match; return the sum of each agent's rewards."""
    env.reset(seed=int(rng.integers(2**31)))
    total = dict.fromkeys(env.possible_agents, 0.0)
    for agent in env.agent_iter():
        observation, reward, terminated, truncated, _ = env.last()
        total[agent] += reward
        env.step(None if terminated or truncated else policies[agent](observation, agent))
    return total


def play_parallel(env, policies):
    """Play a match; return the sum of each agent's rewards."""
    observations, _ = env.reset(seed=int(rng.integers(2**31)))
    total = dict.fromkeys(env.possible_agents, 0.0)
    while env.agents:
        actions = {agent: policies[agent](observations[agent], agent) for agent in env.agents}
        observations, rewards, *_ = env.step(actions)
        for agent, reward in rewards.items():
            total[agent] += reward
    return total


rng = np.random.default_rng(0)
game = importlib.import_module(NAME)
env, play = (game.parallel_env(), play_parallel) if hasattr(game, "parallel_env") else (game.env(), play_aec)
agent = marl_app.load_agent(RUN)
policy = agent.as_pettingzoo_policy(rng=rng)
wins = 0
for match in range(MATCHES):
    own = env.possible_agents[match % 2]  # each side in turn
    policies = {name: policy if name == own else random_policy for name in env.possible_agents}
    policy.reset()
    wins += play(env, policies)[own] > 0
print(f"{NAME}: the agent won {wins} of {MATCHES} matches against random play")
