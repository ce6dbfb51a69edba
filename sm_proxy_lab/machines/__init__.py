"""The lab's machines: their network, their file systems and their first process."""
