"""Host keys: which ones a container may have, and how ssh learns them."""
