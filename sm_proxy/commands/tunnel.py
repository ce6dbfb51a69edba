"""`sm-proxy tunnel`: local ports that lead to a container's, until its job ends."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final

from sm_proxy import resolver, ssh_client
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory.trial import no_session_left_open
from sm_proxy.jobs import kinds
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.local.threads import Background
from sm_proxy.remote import ports
from sm_proxy.remote.forwarding import Forwarding
from sm_proxy.remote.ports import Forward
from sm_proxy.settings import Settings

_BROWSER_S: Final = 10.0
_COMPLETED: Final = "Completed"

DESCRIPTION: Final = (
    "Forwards ports of this machine to a container, for TensorBoard or Jupyter, for instance. It"
    " reconnects by itself, and ends with the job."
)
EXAMPLES: Final = (
    ("sm-proxy tunnel sm-myjob 6006 --open", "TensorBoard, in your browser"),
    ("sm-proxy tunnel sm-myjob 9006:6006 8888", "two ports, one by another number"),
)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`tunnel HOST [LOCAL:]PORT... [--open] [--wait DURATION]`."""
    options.add_host(parser)
    parser.add_argument(
        "ports",
        metavar="[LOCAL:]PORT",
        nargs="+",
        type=_forward,
        help="a port of the container; LOCAL is the port on this machine, if it differs",
    )
    parser.add_argument("--open", action="store_true", help="open the first one in your browser")
    options.add_wait(parser)
    options.add_ssh_config(parser, options.CONFIG_OF_KEY)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Print a URL for each port; exit status 0 if the job is Completed in the end, else 1."""
    tunnel = _Tunnel(options.target_of(args, settings), settings)
    listeners = [ports.listen(forward, output.status) for forward in args.ports]
    urls = [f"http://{ports.LOOPBACK}:{made.getsockname()[1]}/" for made in listeners]
    of_ports = [forward.port for forward in args.ports]

    def when_up() -> None:
        output.write_part("".join(f"{url}\n" for url in urls))
        if args.open:
            _browse(urls[0])

    forwarding = Forwarding(
        dict(zip(listeners, of_ports, strict=True)), tunnel.connect, output.status
    )
    with no_session_left_open():
        try:
            forwarding.run(when_up)
        except SmProxyError as error:
            if not tunnel.is_completed(error):
                raise
            output.status(error.message)
    return Result()


class _Tunnel:
    """Connects to the container as it is now; again, whenever it is asked."""

    def __init__(self, target: Target, settings: Settings) -> None:
        self._target = target
        self._settings = settings
        self._aws = Aws(settings.profile, settings.region)
        self._container: Container | None = None

    def connect(self) -> ssh_client.Client:
        """A client; the second time, the job is looked up again.

        Raises:
            SmProxyError: as `ssh_client.connect`.
        """
        if self._container is not None:  # what is cached may be the reason for the end
            resolver.resolve(
                self._target,
                self._settings,
                self._aws,
                wait=self._settings.wait,
                on_status=output.status,
                fresh=True,
            )
        made = ssh_client.connect(self._target.host, self._settings, self._aws)
        self._container = made.container
        return made

    def is_completed(self, error: SmProxyError) -> bool:
        """Whether a job that was connected has ended by itself, and well."""
        known = self._container
        if error.code != "job-ended" or known is None:
            return False
        job = kinds.of(known.kind).describe(self._aws, known.job)
        return job is not None and job.status == _COMPLETED


def _forward(word: str) -> Forward:
    try:
        return Forward.parse(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it must be {error}") from None


def _browse(url: str) -> None:
    """Open the browser, which may block, or say that there is none."""
    import webbrowser  # noqa: PLC0415 - only with --open

    screen = sys.platform in {"win32", "darwin"} or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    work = Background(lambda: screen and webbrowser.open(url))
    if work.settled(_BROWSER_S) is False or work.error is not None:
        output.status(f"no browser can be opened here: open {url} yourself")
