"""A whole AWS behind one command, for the demo and the tests."""
