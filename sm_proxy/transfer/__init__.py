"""Copy files between this machine and a container: over several sessions at once, or by S3."""

from sm_proxy.tunnel.blocking_socket import import_paramiko

import_paramiko()  # before a module here imports it: its old releases warn on stderr
