"""People play against trained agents: `task=play`.

session.py    one match after the other, by the texts of a person: moves, take back, choice of player and side
terminal.py   a session in the terminal
web.py        a session as a page on this machine, with page.html, page.css and page.js
"""
