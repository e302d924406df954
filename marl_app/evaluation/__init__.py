"""How good players are: matches played to the end, against fixed opponents and against one another."""
