"""Who makes the calls to AWS: `Aws`, or the session of a program that uses us as a library."""

from __future__ import annotations

from typing import Any, Protocol

from botocore.session import Session


class Caller(Protocol):
    """What launching needs of `sm_proxy.aws.clients.Aws`. Errors are as there."""

    @property
    def region(self) -> str:
        """The region that calls go to; empty if none is set."""

    @property
    def scope(self) -> str:
        """Identifies account, region and endpoints, for names of cached records. Not a secret."""

    @property
    def session(self) -> Session:
        """The botocore session: certificates for a download come from it."""

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make one API call and return its response.

        Raises:
            SmProxyError: for credentials, permissions, throttling or the network.
            ServiceError: any other error of the service.
        """

    def in_region(self, region: str) -> Caller:
        """The same credentials, for calls to another region."""
