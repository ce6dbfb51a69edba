"""`sm-proxy doctor`: find what is wrong, from the laptop to the container.

A check is one function and one line in the table of `checks.py`; the checks of a route are in
`routes/`. A check returns its finding in a few words, raises `SkipCheck`, or raises the
`SmProxyError` that a connection would meet: its code is the cause, its hint the fix.
"""
