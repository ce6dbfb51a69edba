"""How to reach a container: `table` lists the routes, each a module with the members of `Route`.

Beside them stands what routes through SSM share: a session's API, and the sessions that are open.
"""
