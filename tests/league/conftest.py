"""Hypothesis without deadlines, because the tests also run on busy machines."""

from hypothesis import settings

settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
