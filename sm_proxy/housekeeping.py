"""What a run does for the runs before it, when nobody waits for it any more.

Sessions that a killed process left open are ended; once a day, records of the cache that are past
their time and host keys of jobs that must be over go away.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
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
"""ssh's own handshake comes first."""
PATIENCE_S: Final = 3.0
_SWEEP_EVERY_S: Final = 24 * 3600.0


class BackgroundHousekeeping:
    """The housekeeping of a connection: beside it once it is up, else after its end."""

    def __init__(self, aws: Aws, stream: Stream, settings: Settings) -> None:
        self._aws = aws
        self._settings = settings
        self._stream = stream
        self._over = threading.Event()
        self._work = Background(self._run)

    def finish(self) -> None:
        """The connection is over: do what is left, within a bound."""
        self._over.set()
        self._work.settled(PATIENCE_S)

    def _run(self) -> None:
        while not self._over.wait(QUIET_S):
            if self._stream.opened:
                break
        run(self._aws, self._settings)


def run(aws: Aws, settings: Settings) -> None:
    """End orphaned sessions and sweep old files; failures are ignored."""
    sessions.end_orphans(aws)
    sweep(settings)


def after_command(settings: Settings) -> None:
    """Behind a command that has called AWS; it costs a client only where there is work to do."""
    with contextlib.suppress(Exception):
        if not open_sessions.orphans():
            sweep(settings)
            return
        aws = Aws(settings.profile, settings.region)
        Background(lambda: run(aws, settings)).settled(PATIENCE_S)


def sweep(settings: Settings) -> None:
    """Once a day, remove records of the cache that are past their time, and old host keys.

    A host key that is wanted again after all is written anew before ssh looks for it.
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
        from sm_proxy.host_keys import trust_on_first_use  # noqa: PLC0415 - once a day

        cache.sweep_all()
        known_hosts.sweep(settings)
        trust_on_first_use.sweep()
