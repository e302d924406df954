"""PPO over fragments of matches: IPPO and MAPPO too."""
