"""The user's identity keys: create, rotate, revoke, load into an ssh-agent, push to S3."""
