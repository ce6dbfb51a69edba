"""`sm-proxy login`: gets AWS credentials before an ssh connection needs them.

For an SSO profile, the user logs in in the browser; for a role, the user types an MFA code.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import Final

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

DESCRIPTION: Final = (
    "Gets AWS credentials before ssh needs them: logs in to IAM Identity Center (SSO), or "
    "asks for an MFA code. For editors, which cannot ask you."
)
EXAMPLES: Final = (
    ("sm-proxy login --profile dev", "opens a browser for SSO"),
    ("sm-proxy login --no-browser", "shows an address and a code"),
)
USES: Final = options.USES_AWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`login [--profile NAME] [--no-browser] [--json]`."""
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser for SSO")
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Get credentials, asking the user where needed, and show whose they are."""
    aws = Aws(settings.profile, settings.region)
    try:
        found = caller.identify(aws)
    except SmProxyError as error:
        portal = _portal_that_helps(aws, error)
        if portal is None:
            raise
        sso.log_in(aws, portal, lambda invited: _invite(invited, portal, browser=_browser(args)))
        aws = Aws(
            settings.profile, settings.region
        )  # the first client keeps its lack of credentials
        found = caller.identify(aws)
    data = {"profile": aws.profile, "account": found.account, "arn": found.arn}
    text = f"{found.arn} of account {found.account}"
    if found.arn is None:
        text = f"There are credentials, but STS does not say whose they are: {found.unknown}"
    if not aws.not_kept:
        return Result(data, (text,))
    return Result(data, (text,), EXIT_EXPECTED, _not_kept(aws.not_kept))


def _portal_that_helps(aws: Aws, error: SmProxyError) -> Portal | None:
    """The portal to log in to, if a new SSO token would help; None if other keys come first."""
    if error.code != "expired-credentials" or aws.credential_source not in {"", "sso"}:
        return None
    return sso.portal_of(aws)


def _browser(args: argparse.Namespace) -> bool:
    """Whether to open a browser; a text browser would take over the terminal."""
    graphical = sys.platform in {"darwin", "win32"} and "SSH_CONNECTION" not in os.environ
    return not args.no_browser and (graphical or any(map(os.environ.get, _DISPLAYS)))


def _invite(invited: Invitation, portal: Portal, *, browser: bool) -> None:
    output.status(f"to log in to {portal.start_url}, open {invited.url}")
    output.status(f"confirm there, if it shows this code: {invited.code}")
    if browser:
        threads.Background(lambda: _open(invited.url))
    where = "in the browser window that opens" if browser else "in any browser"
    output.status(f"waiting up to {invited.lasts_s / 60:.0f} min for you to confirm {where}")


def _open(url: str) -> None:
    """Open `url` in another process: its output must not reach our stdout."""
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
    """The error for a role session that cannot be stored: the next ssh will ask again."""
    remedy = "Install a keyring that Python's package `keyring` supports"
    if secret_store.trouble():
        remedy = secret_store.remedy()
    return SmProxyError(
        "no-keyring",
        f"the code was right, but its session cannot be stored in this system's keyring: {why}",
        f"{remedy}, then run `sm-proxy login` again. Until then, connect from a terminal, where "
        "sm-proxy asks for the code each time, or set SSH_ASKPASS.",
    )
