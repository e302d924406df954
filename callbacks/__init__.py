"""Callbacks of a run: each turns an event into a call, and answers with metrics, messages and measurements."""
