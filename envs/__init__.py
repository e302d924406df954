"""Batched environments and adapters: many matches of one game stepped together as arrays. Usable without marl_app."""
