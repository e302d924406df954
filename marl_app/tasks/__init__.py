"""What the app does: one file a task, chosen by `task=`."""
