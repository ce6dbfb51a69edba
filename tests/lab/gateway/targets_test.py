from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .scripted_client import lab, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "10.0.0.2", "10.0.255.255", "fd00:ec2::254"]
)
def test_forbidden_addresses_end_the_session(tmp_path: Path, address: str) -> None:
    async def main() -> None:
        async with lab(tmp_path, vpc_cidr="10.0.0.0/16") as it:
            client, _ = await it.client(host=address)
            await client.handshake()
            await client.until(lambda: client.closed)
            assert client.output == f"Forwarding to IP address {address} is forbidden."
            await client.close()

    run(main())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64 + ".invalid"])
@pytest.mark.parametrize("version", ["1.2.677.0", "1.0.0.0"])
def test_an_unknown_host_ends_the_session(tmp_path: Path, host: str, version: str) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(host=host)
            await client.handshake(version)
            await client.until(lambda: client.closed)
            assert client.output == f"lookup {host}: no such host"
            assert it.ask("resume", session=session) == {"error": "DoesNotExistException"}
            await client.close()

    run(main())
