"""Starts sm-proxy as the ssh config does, but without `-I`, which would skip sitecustomize.py."""

from __future__ import annotations

import sys

from sm_proxy.cli import main

sys.exit(main(sys.argv[1:]))
