"""How to reach a container: `table` lists the routes, each a module with the members of `Route`.

`session_api` and `sessions` are shared by the routes through SSM: a session's API calls, and the
open sessions of this process.
"""
