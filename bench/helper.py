"""The ProxyCommand process without its resolver: pump one granted session to stdin and stdout.

Arguments: session id, stream URL, data messages per second (`inf`: no limit). The environment
variable BENCH_TOKEN holds the token, and BENCH_CA the file of a CA; it may be empty.
"""

from __future__ import annotations

import os
import sys

from sm_proxy.errors import SmProxyError
from sm_proxy.local import stdio
from sm_proxy.ssm import session as ssm
from sm_proxy.ssm.dial import Network
from sm_proxy.tunnel.pump import Pump


class NoApi:
    """An Api for a session that was started elsewhere and is never resumed."""

    def start(self) -> ssm.Grant:
        """Never called."""
        raise NotImplementedError

    def resume(self, session_id: str) -> ssm.Grant | None:
        """Nothing: a lost connection ends the benchmark."""
        del session_id
        return None

    def terminate(self, session_id: str) -> None:
        """Nothing to end."""

    def data_key(self, key_id: str, session_id: str, challenge: str) -> tuple[bytes, bytes]:
        """Never called."""
        raise NotImplementedError(key_id, session_id, challenge)


def main() -> None:
    """Pump until one side ends."""
    session_id, url, rate = sys.argv[1:]
    streams = stdio.take_over()
    grant = ssm.Grant(session_id, os.environ["BENCH_TOKEN"], url)
    api = NoApi()
    network = Network(os.environ["BENCH_CA"] or None)
    stream = ssm.start(api, ssm.Options(messages_per_s=float(rate), network=network), grant)
    try:
        Pump(stream, streams, lambda _: SmProxyError("sshd-silent", "nothing answers")).run()
    finally:
        stream.close()


if __name__ == "__main__":
    main()
