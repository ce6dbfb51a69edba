"""The parts of the ssh config writer; `sm_proxy.config_writer` is their public door."""
