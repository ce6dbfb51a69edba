"""ECR: the images that the lab or a test has registered, as docker pushes them."""
