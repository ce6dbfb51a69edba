"""This machine: files, locks, signals, threads, terminal, keyring, output."""
