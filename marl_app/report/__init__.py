"""A run as one HTML page: what was run, its curves, the league, and a match.

recorded_run   everything that a run left on disk and that the page shows
sections       records -> the sections of the page, each a list of blocks (blocks.py)
league_sections, measured_sections   the sections about the league, and about strength
curves         which metrics become curves, of one run or of two
figures        blocks' pictures, as SVG
sample_match   one match of the newest agent, as text
differences    what differs between two runs
page           sections -> HTML (page.html.jinja), with autoescaping: names in a run are foreign text
"""
