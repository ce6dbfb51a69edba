"""Copy files between this machine and a container: over several sessions at once, or by S3."""
