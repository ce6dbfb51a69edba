"""What `--help` and usage errors show. `cli` imports it only then."""
