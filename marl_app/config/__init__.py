"""The configuration: every key as dataclasses, how it is composed, and how a mistake in it is explained."""
