"""S3 in front of moto's: signatures, buckets that are there from the start, roles, regions."""
