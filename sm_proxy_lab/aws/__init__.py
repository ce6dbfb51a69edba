"""The lab's AWS: an HTTP endpoint that answers where moto is not faithful, and asks moto else."""
