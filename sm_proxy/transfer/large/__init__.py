"""Files of over 256 KiB: in ranges, over all connections, into part files that a copy resumes."""
