"""Run a program inside a network namespace: `python -m sm_proxy_lab.machines.nsenter PATH CMD...`.

Used where nsenter(1) of util-linux is missing.
"""

from __future__ import annotations

import os
import sys

from sm_proxy_lab.machines import namespaces


def main() -> None:
    """Enter the namespace of `argv[1]` and become `argv[2:]`."""
    with open(sys.argv[1], "rb") as handle:  # noqa: PTH123 - a namespace, not a file
        namespaces.setns(handle.fileno(), namespaces.CLONE_NEWNET)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606


if __name__ == "__main__":
    main()
