"""Several ssh connections into one container, all opened by this process.

This process finds the container once and dials it for each ssh. Login, host key and ciphers are
ssh's own.
"""

from __future__ import annotations

from collections.abc import Callable

from sm_proxy.aws.clients import Aws
from sm_proxy.jobs.container import Container
from sm_proxy.settings import Settings
from sm_proxy.transfer.connection import Answer, Connection

MOST: int = 8
"""How many connections a copy opens unless the user says otherwise."""


class Connections:
    """The connections of one copy. All methods may be called in any thread.

    Nothing is printed, and no signal is touched: this runs in other people's programs, too.

    Args:
        host: the host name as the user typed it.
        settings: of this run.
        aws: for the calls.
        user: to log in as; None for the container's own.
        most: how many connections at most; None for as many as are useful.
        on_status: takes a line for the user.

    Attributes:
        container: as it was found; after `first`.
        speaks_sftp: whether the container has an SFTP server; after `first`.
        most: how many connections to open at most; before `first` what was asked for, or 8.
        most_at_once: the most that have been open at once.
    """

    container: Container

    def __init__(
        self,
        host: str,
        settings: Settings,
        aws: Aws,
        *,
        user: str | None = None,
        most: int | None = None,
        on_status: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.speaks_sftp = True
        self.most = most or MOST
        self.most_at_once = 0
        self._asked = (host, settings, aws, user, on_status)

    def first(self) -> Connection:
        """Find the container, waiting for a starting job, and open the first connection.

        Raises:
            SmProxyError: with the code that fits.
        """
        raise NotImplementedError

    def open(self, *, compress: bool = False) -> Connection:
        """Open one more connection. Blocks; several threads may call it, three are served at once.

        Raises:
            SmProxyError: it cannot be opened, also after pauses; go on with those that are there.
        """
        raise NotImplementedError

    def script(self, text: str, timeout: float) -> Answer:
        """Run a POSIX sh script in the container, over an ssh of its own.

        Args:
            text: the script, of any length, with surrogates for bytes that are not UTF-8.
            timeout: for all of it, in seconds.

        Raises:
            SmProxyError: ssh fails, or the script takes too long or prints too much.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End everything: no process and no session is left. Takes a few seconds at most."""
