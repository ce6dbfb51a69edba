"""A paramiko.SSHClient that is connected to a container: `sm_proxy.open("sm-myjob")`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sm_proxy.errors import SmProxyError

if TYPE_CHECKING:
    import paramiko

__all__ = ["open"]


def open(  # noqa: A001 - as `gzip.open`
    host: str,
    *,
    user: str | None = None,
    profile: str | None = None,
    region: str | None = None,
    wait: int | str = 0,
    timeout: float = 60.0,
    **settings: str | bool,
) -> paramiko.SSHClient:
    """Connect to a container.

    Args:
        host: a host name, such as `sm-myjob`.
        user: to log in as; None for the container's own.
        profile: AWS profile.
        region: AWS region.
        wait: how long to wait for a job that is starting: seconds, or `10m`.
        timeout: how long the connection may take once the job runs, in seconds.
        settings: further settings, by their names in config.toml: `route="direct"`.

    Raises:
        SmProxyError: with the code that fits.
    """
    del user, profile, region, wait, timeout, settings
    raise SmProxyError("unsupported", f"no client can connect to {host} yet")
