"""Our own keys: made, rotated, revoked, handed to an agent or put into S3."""
