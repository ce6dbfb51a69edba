"""The parts of the ssh config: our own file and the user's, blocks, patterns, quoting.

`sm_proxy.config_writer` plans and makes every change of them.
"""
