"""Groups of EC2 instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.http.errors import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.http.call import Call


class AutoScaling:
    """The operations that the lab has."""

    def __init__(self) -> None:
        self.operations: dict[str, Callable[[Call], dict[str, Any] | Reply | None]] = {}
