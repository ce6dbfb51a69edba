"""The VPC's records (moto keeps them), and the packet filter that enforces them."""
