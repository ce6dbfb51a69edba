"""The terminal inside the VPC, where the lab has no network namespaces."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy_lab.account import Ec2Instance, Vpc
from sm_proxy_lab.aws.control_client import ControlClient
from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines.network import LoopbackNetwork
from sm_proxy_lab.terminals import TERMINALS, inside
from sm_proxy_lab.terminals.place import Site

_MAC = "02:00:00:aa:bb:cc"


class _Account:
    def run_instance(self, *_: object) -> Ec2Instance:
        return Ec2Instance("i-0123", _MAC, "eni-0123")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    account: Any = _Account()
    vpc = Vpc("vpc-1", ("subnet-1",), "sg-1", "i-bastion")
    network = LoopbackNetwork()
    yield Site(tmp_path, network, account, ControlClient("http://127.0.0.1:1"), vpc)
    network._claim.close()


def _vpc_id(endpoint: str) -> str:
    def fetch(path: str, method: str, headers: dict[str, str]) -> str:
        url = f"{endpoint}/latest/{path}"
        request = urllib.request.Request(url, None, headers, method=method)  # noqa: S310 - ours
        with opener.open(request, timeout=60) as answer:
            return str(answer.read().decode())

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    token = fetch("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    path = f"meta-data/network/interfaces/macs/{_MAC}/vpc-id"
    return fetch(path, "GET", {"X-aws-ec2-metadata-token": token})


def test_on_loopback_addresses_the_metadata_service_is_named_by_a_variable(site: Site) -> None:
    made = inside.build(site)
    assert made.netns is None
    assert made.variables["AWS_EC2_METADATA_DISABLED"] is None
    endpoint = made.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"]

    async def ask() -> str:
        ((server, handler),) = made.servers
        running = await asyncio.start_server(handler, sock=server)
        found = await asyncio.to_thread(_vpc_id, str(endpoint))
        running.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        return found

    assert asyncio.run(ask()) == "vpc-1"


@pytest.mark.parametrize("name", sorted(set(TERMINALS) - {"inside"}))
def test_other_terminals_need_namespaces(name: str, site: Site) -> None:
    with pytest.raises(LabError, match="network namespaces"):
        TERMINALS[name](site)
