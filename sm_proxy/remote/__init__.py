"""Scripts of ours inside a container, over the user's own ssh."""
