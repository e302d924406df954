"""The configuration: its keys as dataclasses, composition, and explanations of wrong input."""
