"""sm-proxy: `ssh sm-myjob` into a running Amazon SageMaker training container."""

__version__ = "0.1.0"
