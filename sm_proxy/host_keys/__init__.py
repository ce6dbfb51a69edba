"""Host keys: which ones a container may have, and how ssh is told of them."""
