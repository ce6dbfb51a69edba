"""sm-proxy as the ssh config starts it, but watched: `-I` would keep sitecustomize.py away."""

from __future__ import annotations

import sys

from sm_proxy.cli import main

sys.exit(main(sys.argv[1:]))
