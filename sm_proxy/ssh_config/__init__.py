"""The parts of the ssh config: our own file, the user's file, blocks, patterns, quoting.

`sm_proxy.config_writer` plans and makes every change to them.
"""
