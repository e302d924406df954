"""Speed measurements of the app next to RLlib's PPO and a bare loop, not imported by the app: docs/benchmarks.md."""
