"""Large files into the container: in ranges, into a part file beside each target."""

from __future__ import annotations

from collections.abc import Iterable

from sm_proxy.transfer.connections import Connections
from sm_proxy.transfer.download import Copied
from sm_proxy.transfer.engine import SharedWork
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.progress import Meter


def works_for(
    entries: Iterable[Entry], connections: Connections, meter: Meter, *, verify: bool = True
) -> tuple[list[SharedWork], Copied]:
    """As `download.works_for`, source on this machine; run them by `Engine(..., gently=True)`."""
    raise NotImplementedError
