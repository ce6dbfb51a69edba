"""One command per module: `add_arguments(parser)` and `run(args)`; none prints."""
