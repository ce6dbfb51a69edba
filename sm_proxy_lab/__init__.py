"""An AWS inside one machine, for the demo and the tests."""
