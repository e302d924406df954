"""Configuration -> live objects. The only caller of Hydra's `instantiate`.

`instantiate` makes single objects and is light; `training` makes a whole run and needs RLlib and torch.
"""
