"""This machine: files, locks, signals, threads, terminal, keyring, what is printed."""
