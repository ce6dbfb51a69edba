"""What is wrong, from the outside in: `sm-proxy doctor`.

A check is one line in the table of `checks.py` and one function in a small module beside it. It
returns what it found in a few words, raises `SkipCheck`, or raises the `SmProxyError` that a
connection would meet: its code is the cause, its hint the fix.
"""
