"""`sm-proxy connect`: the ProxyCommand that every ssh connection runs."""

from __future__ import annotations

import argparse
import re
from typing import Final

from sm_proxy import proxy
from sm_proxy.commands import options
from sm_proxy.dialler import SSH_PORT
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.settings import Settings, sources

_TOKEN: Final = re.compile(r"%[A-Za-z]")

DESCRIPTION: Final = (
    "Connects stdin and stdout with the SSH server of a container. ssh runs it as its "
    "ProxyCommand; you do not type it."
)
EXAMPLES: Final = (("sm-proxy connect sm-myjob 22", "as our ssh config block calls it"),)
USES: Final = (*options.USES_BLOCK, "keep_session", "daemon_idle")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`connect [--user USER] HOST [PORT]`."""
    parser.add_argument("--user", dest="login", help="the user that ssh logs in as (%%r)")
    options.add_wait(parser)
    parser.add_argument("host", metavar="HOST", help="the host name as typed (%%n)")
    parser.add_argument(
        "port",
        metavar="PORT",
        nargs="?",
        type=_port,
        default=SSH_PORT,
        help="the port (%%p); 22 means the one that the container's log names",
    )


def load_settings(args: argparse.Namespace) -> Settings:
    """The settings without contexts: the ProxyCommand line has its context's options."""
    _refuse_token(args.host, "bad-name")
    _refuse_token(args.login or "", "unsupported")
    return sources.load_without_contexts(args)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Tunnel stdin and stdout into the container."""

    def when_up() -> None:
        from sm_proxy.daemon import starting  # noqa: PLC0415 - not before the first byte

        starting.start_if_absent(settings)

    return proxy.connect(args.host, args.port, args.login, settings, when_up=when_up)


def _port(text: str) -> int:
    _refuse_token(text, "unsupported")
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number")
    return int(text)


def _refuse_token(word: str, code: Code) -> None:
    """Raise if the ssh client did not expand a token of our ProxyCommand line."""
    if found := _TOKEN.fullmatch(word):  # in our Host block, each token is a word of its own
        raise SmProxyError(
            code,
            f"this ssh client does not expand {found[0]}: it is not OpenSSH, and supports only a "
            "part of our Host block",
            "Run `sm-proxy sync`: it writes a Host block without such tokens for each running job.",
        )
