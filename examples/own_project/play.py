"""Use the trained agent: python play.py runs/stones/<time>"""

import sys

import numpy as np

import marl_app

agent = marl_app.load_agent(sys.argv[1])
left = 21
mask = np.arange(1, 4) <= left
taken = 1 + agent.act(np.eye(22, dtype=np.int8)[left], mask, greedy=True)
print(f"with {left} stones left the agent takes {taken}")
