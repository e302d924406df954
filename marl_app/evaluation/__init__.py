"""How good a policy is: matches played to the end against fixed opponents."""
