"""`python -m bench.connect [--quick] [PART...]`: `ssh sm-x`, against plain ssh.

As root, because the lab needs network namespaces. Each part runs in a lab of its own:

- routes: by each route (`bench.routes`);
- second, second-20ms: what a second ssh costs, without and with latency (`bench.second_ssh`);
- many: 8 connections at once to 8 nodes, and the memory of 64 (`bench.many`).

Each round runs every arm once, so that all arms see the same load. Compare ratios, not seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from bench import many, routes, second_ssh
from bench.connections import SM_PROXY

_PARTS: Final[dict[str, tuple[list[str], Callable[..., None]]]] = {
    "routes": ([], routes.measure),
    "second": ([], second_ssh.measure),
    "second-20ms": (["--latency-ms", "20"], second_ssh.measure),
    "many": (["--nodes", str(many.NODES)], many.measure),
}
"""The options of a part's lab, and what measures there."""


def main() -> None:
    """Start a lab for each part; inside a lab, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and less data")
    parser.add_argument("--in-lab", choices=_PARTS, help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all parts")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(_PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if args.in_lab:
        if os.environ["SM_PROXY_LAB_NETWORK"] != "netns":
            sys.exit("bench.connect needs network namespaces: run it as root on Linux")
        options, measure = _PARTS[args.in_lab]
        print(
            f"\n== {args.in_lab}: Python {sys.version.split()[0]}, {os.cpu_count()} cores, load "
            f"{os.getloadavg()[0]:.1f}, {' '.join(options) or 'a lab without options'} =="
        )
        measure(quick=args.quick)
        return
    for part in args.parts or _PARTS:
        words = [sys.executable, "-m", "bench.connect", "--in-lab", part, *["--quick"] * args.quick]
        lab = [*SM_PROXY, "lab", "run", *_PARTS[part][0], "--", *words]
        if status := subprocess.run(lab, check=False).returncode:
            sys.exit(status)


if __name__ == "__main__":
    main()
