"""Log in to the container by ssh, and begin to work with its files."""

from __future__ import annotations

import struct
from typing import Final

from sm_proxy.ssh_config.ssh_command import SSH_FAILED
from sm_proxy.transfer.ssh.connection import SftpLike
from sm_proxy.transfer.ssh.ssh_process import SshProcess
from sm_proxy.tunnel.blocking_socket import import_paramiko

_NO_SUBSYSTEM: Final = "subsystem request failed"
"""The end of what OpenSSH's client says if a server has no such subsystem (clientloop.c)."""


def open_sftp(process: SshProcess) -> SftpLike | None:
    """Start an ssh that speaks SFTP; None if the container has no SFTP server.

    Raises:
        SmProxyError: it cannot be reached, or refuses the login.
    """
    process.start(["sftp"], ["-s"])
    paramiko = import_paramiko()
    from sm_proxy.transfer.ssh.sftp_client import (  # noqa: PLC0415 - it needs paramiko
        SftpClient,
        SFTPError,
    )

    try:
        return SftpClient(process.wire)
    except (SFTPError, struct.error):  # such as the text that a start-up file of the shell prints
        return None
    except (EOFError, OSError, paramiko.SSHException):
        if _has_no_server(process):
            return None
        raise process.lost_error() from None


def open_shell(process: SshProcess) -> SftpLike:
    """Start an ssh for the same work with a shell and its usual tools.

    Raises:
        SmProxyError: it cannot be reached, refuses the login, or has not the tools.
    """
    from sm_proxy.transfer.ssh.shell_channel import (  # noqa: PLC0415 - for servers without SFTP
        ShellChannel,
    )
    from sm_proxy.transfer.ssh.shell_files import ShellFiles  # noqa: PLC0415 - as above

    channel = ShellChannel()
    process.start([channel.command])
    try:
        return ShellFiles(channel, process.wire)
    except (EOFError, OSError):
        raise process.lost_error() from None


def _has_no_server(process: SshProcess) -> bool:
    """Whether the login succeeded, but the SFTP server did not start."""
    status = process.exit_status() if process.wire.ended else None
    if status is None:
        return False
    return status != SSH_FAILED or _NO_SUBSYSTEM in process.complaint()
