"""The only place that knows botocore."""
