"""What the process that works for ssh tells the one that ssh waits for.

The launcher imports this module: import nothing here.
"""

PASSED = b"p"
"""ssh has its descriptor, the process that it waits for may exit."""
COPYING = b"c"
"""This client wants the bytes on its own socket."""
