"""A ProxyCommand for `ProxyUseFdpass`: takes a socket from its stderr, and passes it to ssh.

The process that started ssh has put the socket there: see `ssh_process.py`. ssh closes all other
descriptors of its own. Run it as `python -I -S FILE`, and import nothing that is not built in: each
connection waits for it.
"""

from __future__ import annotations

import _socket


def main() -> None:
    """Pass on one byte with one descriptor, as OpenSSH expects it (monitor_fdpass.c)."""
    room = _socket.CMSG_SPACE(4)
    data, ancillary, _, _ = _socket.socket(fileno=2).recvmsg(1, room)
    _socket.socket(fileno=1).sendmsg([data], ancillary)


if __name__ == "__main__":
    main()
