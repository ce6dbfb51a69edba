"""One command per module: `add_arguments(parser)` and `run(args, settings)`.

No command prints: `run` returns a `Result` for `cli.py` to show, or an exit status.
"""
