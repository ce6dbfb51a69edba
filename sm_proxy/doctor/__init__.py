"""`sm-proxy doctor`: find what is wrong, from the laptop to the container.

A check is one function, and one row in `checks.py` or, for the checks of a route, in `routes/`. It
returns its finding in a few words, raises `SkipCheck`, or raises the `SmProxyError` that a
connection would end with: its code is the cause, its hint the fix.
"""
