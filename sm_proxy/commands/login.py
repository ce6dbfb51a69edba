"""`sm-proxy login`: what AWS wants of a person, done now, so that no ssh has to wait for it.

An SSO profile is logged in to in the browser; a role asks for the code of an MFA device.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from sm_proxy.aws import caller, sso
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.sso import Invitation, Portal
from sm_proxy.commands import options
from sm_proxy.errors import EXIT_EXPECTED, SmProxyError
from sm_proxy.local import output, secret_store, threads
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
_BROWSER_STARTS_S = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`login [--profile NAME] [--no-browser] [--json]`."""
    parser.add_argument(
        "--no-browser", action="store_true", help="open none, for SSO: you have it elsewhere"
    )
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Get credentials, asking where that is needed, and say whose they are."""
    aws = Aws(settings.profile, settings.region)
    try:
        found = caller.identify(aws)
    except SmProxyError as error:
        portal = _portal_that_helps(aws, error)
        if portal is None:
            raise
        sso.log_in(aws, portal, lambda invited: _invite(invited, portal, browser=_browser(args)))
        aws = Aws(settings.profile, settings.region)  # the other one has no credentials for good
        found = caller.identify(aws)
    data = {"profile": aws.profile, "account": found.account, "arn": found.arn}
    text = f"{found.arn} of account {found.account}"
    if found.arn is None:
        text = f"The credentials are there; STS does not say whose: {found.unknown}"
    if not aws.not_kept:
        return Result(data, text)
    return Result(data, text, EXIT_EXPECTED, _not_kept(aws.not_kept))


def _portal_that_helps(aws: Aws, error: SmProxyError) -> Portal | None:
    """Where to log in, if a new SSO token is what is missing: not where other keys come first."""
    if error.code != "expired-credentials" or aws.credential_source not in {"", "sso"}:
        return None
    return sso.portal_of(aws)


def _browser(args: argparse.Namespace) -> bool:
    """Whether a browser may be opened: a text one would take the terminal."""
    graphical = sys.platform in {"darwin", "win32"} and "SSH_CONNECTION" not in os.environ
    return not args.no_browser and (graphical or any(map(os.environ.get, _DISPLAYS)))


def _invite(invited: Invitation, portal: Portal, *, browser: bool) -> None:
    output.status(f"to log in to {portal.start_url}, open {invited.url}")
    output.status(f"and confirm if it shows this code: {invited.code}")
    if browser:
        threads.Background(lambda: _open(invited.url))
    where = "in the browser that is being opened, or any other" if browser else "in any browser"
    output.status(f"waiting until you have done so {where}, {invited.lasts_s / 60:.0f} min at most")


def _open(url: str) -> None:
    """Open `url` in a program of its own: what it prints must not reach our stdout."""
    if url.startswith(("https://", "http://")):
        subprocess.run(
            [sys.executable, "-I", "-m", "webbrowser", url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_BROWSER_STARTS_S,
            start_new_session=True,
            check=False,
        )


def _not_kept(why: str) -> SmProxyError:
    """AWS has given a session, and the next ssh asks again all the same."""
    remedy = secret_store.remedy() if secret_store.trouble() else "Install one that keyring knows"
    return SmProxyError(
        "no-keyring",
        f"the code was right, but its session is kept nowhere: of this system's keyring, {why}",
        f"{remedy}, then again: sm-proxy login. Until then connect from a terminal, where the code "
        "is asked for each time, or set SSH_ASKPASS.",
    )
