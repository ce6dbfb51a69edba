"""SageMaker Studio: domains, user profiles, spaces, their apps, and sessions to them."""
