"""Clean up after earlier runs, while no user waits.

End the sessions that killed processes left open. Once a day, remove expired cache records and the
host keys of jobs that must be over. A caller may add work of its own.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.local import paths, private_files
from sm_proxy.local.threads import Background
from sm_proxy.routes import sessions
from sm_proxy.settings import Settings
from sm_proxy.state import cache, open_sessions
from sm_proxy.tunnel.stream import Stream

QUIET_S: Final = 1.0
"""How often to look whether the connection is up; ssh's handshake goes first."""
PATIENCE_S: Final = 3.0
"""How long a process that is ending waits for its housekeeping."""
_SWEEP_EVERY_S: Final = 24 * 3600.0


class BackgroundHousekeeping:
    """Housekeeping while a connection is up, or after its end if it was short.

    Args:
        aws: for the calls.
        stream: of the connection.
        settings: of this run.
        learn: called last, such as to look for a better route.
    """

    def __init__(
        self, aws: Aws, stream: Stream, settings: Settings, learn: Callable[[], None]
    ) -> None:
        self._aws = aws
        self._learn = learn
        self._settings = settings
        self._stream = stream
        self._over = threading.Event()
        self._work = Background(self._run)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self._work.done

    def finish(self) -> None:
        """Finish after the connection has ended; waits for PATIENCE_S at most."""
        self._over.set()
        self._work.settled(PATIENCE_S)

    def _run(self) -> None:
        while not self._over.wait(QUIET_S):
            if self._stream.opened:
                break
        run(self._aws, self._settings)
        self._learn()


def run(aws: Aws, settings: Settings) -> None:
    """End orphaned sessions and sweep old files; failures are ignored."""
    sessions.end_orphans(aws)
    sweep(settings)


def after_command(settings: Settings) -> None:
    """Housekeeping after a command that called AWS; calls AWS only if a session is orphaned."""
    with contextlib.suppress(Exception):
        if not open_sessions.orphans():
            sweep(settings)
            return
        aws = Aws(settings.profile, settings.region)
        Background(lambda: run(aws, settings)).settled(PATIENCE_S)


def sweep(settings: Settings) -> None:
    """Once a day, remove expired cache records and old host keys.

    Removing a host key is safe: a later connection writes it again before ssh reads it.
    """
    with contextlib.suppress(OSError, SmProxyError):
        stamp = paths.cache_dir() / "swept"
        if (
            private_files.exists(stamp)
            and abs(time.time() - stamp.lstat().st_mtime) < _SWEEP_EVERY_S
        ):
            return
        if not private_files.exists(stamp.parent):
            return
        private_files.refuse_shared(stamp.parent)
        private_files.write_private(stamp, f"{os.getpid()}\n".encode())
        from sm_proxy.host_keys import accept_new, trust_on_first_use  # noqa: PLC0415 - once a day
        from sm_proxy.jobs import session_markers  # noqa: PLC0415 - the same

        cache.sweep_all()
        session_markers.sweep()
        known_hosts.sweep(settings)
        trust_on_first_use.sweep()
        accept_new.sweep()
