"""The tasks of the app, one per file, chosen with `task=`."""
