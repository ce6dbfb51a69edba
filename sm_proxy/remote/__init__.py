"""Our scripts, run inside a container over the user's ssh."""
