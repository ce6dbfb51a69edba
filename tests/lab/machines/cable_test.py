"""A cable whose machine gets another address."""

from __future__ import annotations

import os
import socket

import pytest

from sm_proxy_lab.machines import cable, namespaces, network
from sm_proxy_lab.machines.cable import Place
from tests.lab.conftest import needs_root

_FIRST = Place("10.7.128.9", "10.7.128.0/20")
_SECOND = Place("192.168.5.20", "192.168.5.16/28")


@needs_root
def test_a_machine_that_moves_is_reached_at_its_new_address_only() -> None:
    fabric = network.Fabric()
    other = fabric.plug("10.7.144.0/20")
    machine = namespaces.new_netns()
    port, _ = fabric.connect(machine)
    assert other.netns is not None
    with namespaces.entered(machine):
        server = socket.create_server(("", 22))
    with server:
        for where, gone in ((_FIRST, _SECOND), (_SECOND, _FIRST)):
            cable.place(fabric.netns, port, machine, where)
            with cable.rtnetlink(machine) as routes:
                routes.route("add", dst=cable.EVERYWHERE, gateway=where.router)
            with namespaces.entered(other.netns):
                socket.create_connection((where.address, 22), timeout=30).close()
                with pytest.raises(OSError, match=r"nreachable|timed out"):
                    socket.create_connection((gone.address, 22), timeout=0.3).close()
            cable.remove(fabric.netns, port, machine)
    os.close(machine)
