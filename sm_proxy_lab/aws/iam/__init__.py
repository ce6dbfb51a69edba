"""IAM roles: their policies decide what containers may do, and what Simulate answers."""
