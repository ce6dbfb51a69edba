"""Identity keys and known_hosts."""
