"""A request as a call to an AWS API, and its reply or error."""
