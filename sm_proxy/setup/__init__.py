"""Once per laptop: `setup` (answers, steps); once per image: `container init` (build_context)."""
