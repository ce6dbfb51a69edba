"""`python -m sm_proxy`."""

import sys

from sm_proxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
