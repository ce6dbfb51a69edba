"""Several ssh connections into one container, all opened by this process.

This process finds the container once and dials it for each ssh. Login, host key and ciphers are
ssh's own.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.dialler import SSH_PORT, Dialler
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities
from sm_proxy.jobs import hostname
from sm_proxy.jobs.container import Container
from sm_proxy.local.threads import Background
from sm_proxy.routes import bastion_lookup, sessions
from sm_proxy.settings import Settings
from sm_proxy.transfer.ssh import login, script
from sm_proxy.transfer.ssh.connection import Answer, Connection, SftpLike
from sm_proxy.transfer.ssh.ssh_process import SshProcess

T = TypeVar("T")

MOST: Final = 8
"""How many connections a copy opens unless the user says otherwise."""
_MOST_DIRECT: Final = 2
"""Without a session, one connection is nearly as fast as the machines."""
_SMALL: Final = frozenset({"t2.nano", "t3.nano", "t3a.nano", "t4g.nano"})
"""Bastions with 0.5 GB of memory, of which each session takes 10 to 23 MB."""
_MOST_THROUGH_SMALL: Final = 4
_AT_ONCE: Final = 3
"""How many are opened at the same time: each one is a StartSession, and a login at the server."""
_PAUSES_S: Final = ((0.5, 1.5), (1.5, 4.5), (4.0, 10.0))
"""Bounds of the random pauses before what was throttled, or found no place, is tried again."""
_CLOSE_S: Final = 8.0


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
        most: how many connections to open at most; final after `first`.
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
        self._asked = most
        self._host = host
        self._settings = settings
        self._aws = aws
        self._user = user
        self._on_status = on_status
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._over = threading.Event()
        self._working: dict[SshProcess, Background[Any]] = {}
        self._open: list[Connection] = []
        self._first: Connection | None = None
        self._number = 0
        self._has_told = False

    def first(self, *, compress: bool | None = None) -> Connection:
        """Find the container, waiting for a starting job, and open the first connection.

        Args:
            compress: whether ssh compresses; None: as in the user's Host block.

        Returns:
            The first connection, or a new one if that is lost.

        Raises:
            SmProxyError: with the code that fits.
        """
        if self._first is not None:
            if not self._first.alive:
                self._first = self.open(compress=self._first.compressed)
            return self._first
        identities.ensure(self._settings)
        dialler = self._dialler()
        self.container = dialler.find()
        compress = self._settings.compression if compress is None else compress
        connection = self._logged_in(dialler, self.container, compress=compress)
        # Dialled later, it may have moved: then the dialler looks it up again.
        self.container = replace(dialler.container or self.container, cached=True)
        self.most = self._most(connection.process)
        self._first = connection
        # Such as of a copy that was killed: no other process ends them before the next `ssh`.
        Background(lambda: sessions.end_orphans(self._aws), or_here=True)
        return connection

    def open(self, *, compress: bool = False) -> Connection:
        """Open one more connection. Blocks; several threads may call it, three are served at once.

        Args:
            compress: whether ssh compresses.

        Raises:
            SmProxyError: it cannot be opened, also after pauses: go on with those that are there.
                `source-changed`: the host name means another container by now.
        """
        with self._slots:
            for pauses in (*_PAUSES_S, None):
                dialler = self._dialler()
                try:
                    connection = self._logged_in(dialler, self.container, compress=compress)
                except SmProxyError as error:
                    if pauses is None or error.code != "throttled" or self._over.is_set():
                        self._report(error)
                        raise
                    self._over.wait(random.uniform(*pauses))  # noqa: S311 - no secret
                    continue
                return self._checked(connection, dialler)
        raise AssertionError("the last try returns or raises")

    def script(self, text: str, timeout: float) -> Answer:
        """Run a POSIX sh script in the container, over an ssh of its own.

        Where no more sessions are possible, one of the copy's own gives it a place.

        Args:
            text: the script, of any length, with surrogates for bytes that are not UTF-8. It comes
                by the stdin of `sh`: a command in it that reads stdin would read the rest of it.
            timeout: for the script, in seconds.

        Raises:
            SmProxyError: ssh fails, or the script takes too long or prints too much.
        """
        for pauses in (*_PAUSES_S, None):
            try:
                return self._answer(text, timeout)
            except SmProxyError as error:
                if error.code != "space-busy" or pauses is None or self._over.is_set():
                    raise
            if not self._gave_a_place():
                # One that is only being opened may have it, and uses it or gives it back.
                self._over.wait(random.uniform(*pauses))  # noqa: S311 - no secret
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """End everything: no process and no session is left. Takes eight seconds at most."""
        with self._lock:
            self._over.set()
            working = list(self._working.values())
            processes = {*self._working, *(connection.process for connection in self._open)}
        until = time.monotonic() + _CLOSE_S
        for background in [*(Background(item.close, or_here=True) for item in processes), *working]:
            background.settled(max(0.0, until - time.monotonic()))

    def _answer(self, text: str, timeout: float) -> Answer:
        process = self._process(self._dialler(), self.container, compress=False)

        def work() -> Answer:
            try:
                return script.run(process, self._host, text, timeout)
            finally:
                process.close()

        return self._in_background(process, work)

    def _gave_a_place(self) -> bool:
        """Close the newest connection, unless it is the only one; others do its work."""
        with self._lock:
            newest = self._open[-1] if len(self._open) > 1 else None
        if newest is not None:
            newest.close()
        return newest is not None

    def _dialler(self) -> Dialler:
        target = hostname.parse(self._host, self._settings.prefix)
        return Dialler(
            target,
            SSH_PORT,
            self._user,
            self._settings,
            self._aws,
            on_status=self._on_status,
            on_refusal=lambda _: None,  # `SshProcess.lost_error` has it
        )

    def _process(self, dialler: Dialler, container: Container, *, compress: bool) -> SshProcess:
        return SshProcess(dialler, container, self._settings, user=self._user, compressed=compress)

    def _logged_in(self, dialler: Dialler, container: Container, *, compress: bool) -> Connection:
        """A new connection; the first one finds out whether there is an SFTP server."""
        if self.speaks_sftp:
            process = self._process(dialler, container, compress=compress)
            sftp = self._in_background(process, lambda: login.open_sftp(process))
            if sftp is not None:
                return self._opened(process, sftp, compress=compress)
            process.close()
            self.speaks_sftp = False
        again = self._process(dialler, container, compress=compress)
        files = self._in_background(again, lambda: login.open_shell(again))
        return self._opened(again, files, compress=compress)

    def _in_background(self, process: SshProcess, work: Callable[[], T]) -> T:
        """Do the work in a thread, so that no signal interrupts it; a failure closes the process.

        Raises:
            SmProxyError: `session-lost`, everything is being closed.
            BaseException: of the work.
        """
        background = Background(work, begin=False)
        with self._lock:
            if self._over.is_set():
                raise SmProxyError("session-lost", "the copy is over")
            self._working[process] = background
        try:
            background.begin()
            return background.result()
        except BaseException:
            process.close()
            raise
        finally:
            with self._lock:
                if background.done:  # else `close` waits for it
                    del self._working[process]

    def _opened(self, process: SshProcess, sftp: SftpLike, *, compress: bool) -> Connection:
        with self._lock:
            self._number += 1
            connection = Connection(
                self._number, sftp, process, compressed=compress, on_close=self._closed
            )
            self._open.append(connection)
            self.most_at_once = max(self.most_at_once, len(self._open))
            is_over = self._over.is_set()
        if is_over:
            process.close()
        return connection

    def _closed(self, connection: Connection) -> None:
        with self._lock:
            if connection in self._open:
                self._open.remove(connection)

    def _checked(self, connection: Connection, dialler: Dialler) -> Connection:
        """The connection, unless the job's container is another one than at the start."""
        if dialler.container is None or dialler.container.same_place(self.container):
            return connection
        connection.close()
        raise SmProxyError(
            "source-changed",
            f"the container of {self._host} has been replaced by another one meanwhile",
            "Run the command again.",
        )

    def _most(self, first: SshProcess) -> int:
        """How many connections are useful, from what is known already."""
        if not self.speaks_sftp:
            return 1
        if self._asked is not None:
            return self._asked
        if first.is_direct:
            return _MOST_DIRECT
        kind = SESSION_KINDS.get(self.container.kind)
        if kind is not None and kind.most_copying is not None:
            return kind.most_copying
        vpc_id, words = self.container.vpc_id, first.through.split()
        if vpc_id and words and bastion_lookup.known_type(self._aws, vpc_id, words[-1]) in _SMALL:
            return _MOST_THROUGH_SMALL
        return MOST

    def _report(self, error: SmProxyError) -> None:
        """Tell once that there will be fewer connections than wanted."""
        with self._lock:
            count, told = len(self._open), self._has_told
            self._has_told = True
        if not told and count and not self._over.is_set():
            some = "1 session" if count == 1 else f"{count} sessions"
            self._on_status(f"going on with {some}: {error.message}")
