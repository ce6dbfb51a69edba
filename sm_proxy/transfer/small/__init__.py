"""Files of up to 256 KiB, in batches with many requests in flight."""
