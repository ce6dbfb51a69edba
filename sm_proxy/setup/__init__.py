"""`setup`, once per laptop (answers, steps); `container init`, once per image (build_context)."""
