"""Which of the lines that containers print give an address."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.jobs import log_formats
from sm_proxy.jobs.log_formats import LogAddress
from tests.fakes import HOST_KEY, marker_line

IP_ADDR = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
    inet6 ::1/128 scope host
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP group default qlen 1000
    link/ether 0a:58:a9:fe:ac:02 brd ff:ff:ff:ff:ff:ff
    inet 169.254.172.2/22 brd 169.254.175.255 scope global eth0
3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 9001 qdisc mq state UP group default qlen 1000
    inet 10.0.159.150/19 brd 10.0.159.255 scope global eth1
    inet6 fe80::4f5:39ff:fe2a:1/64 scope link
4: docker0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN group default
    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0
""".splitlines()


def find(lines: list[str], node: str | None) -> LogAddress | None:
    """The address in one page."""
    return next(log_formats.read([lines], node), None)


def test_the_output_of_ip_addr_is_read() -> None:
    found = find(["----- ip addr -----", *IP_ADDR, "training"], "algo-1")
    assert found is not None
    assert found.source == "ip-addr"
    assert found.addresses == ("169.254.172.2", "10.0.159.150", "172.17.0.1")
    assert (found.port, found.user, found.host_keys) == (22, None, ())


def test_the_line_of_sagemaker_ssh_helper_is_read() -> None:
    line = "[sagemaker-ssh-helper] SSH Helper Log IP: 169.254.255.130 10.0.1.5 nonsense"
    assert find([line], "algo-1") is None
    found = find(["SSH Helper Log IP: 169.254.255.130 10.0.1.5 "], "algo-1")
    assert found is not None
    assert (found.source, found.addresses) == ("ssh-helper", ("169.254.255.130", "10.0.1.5"))


def test_our_marker_wins_over_earlier_lines() -> None:
    found = find([*IP_ADDR, "SSH Helper Log IP: 10.0.1.9", marker_line()], "algo-1")
    assert found is not None
    assert (found.source, found.addresses, found.ignored) == ("marker", ("10.0.1.5",), 0)
    assert (found.port, found.user, found.host_keys) == (2222, "root", (HOST_KEY,))


def test_addresses_on_two_pages_are_read_together() -> None:
    cut = [*log_formats.read([["x"], IP_ADDR[:9], IP_ADDR[9:], ["x"]], "algo-1")]
    assert [item.addresses for item in cut] == [
        ("169.254.172.2",),
        ("169.254.172.2", "10.0.159.150", "172.17.0.1"),
        ("169.254.172.2", "10.0.159.150", "172.17.0.1"),
    ]


def test_the_first_marker_of_all_pages_wins() -> None:
    pages = [IP_ADDR, [marker_line()], [marker_line(port=22)]]
    found = [(item.source, item.port, item.ignored) for item in log_formats.read(pages, "algo-1")]
    assert found == [("ip-addr", 22, 0), ("marker", 2222, 0), ("marker", 2222, 1)]


@pytest.mark.parametrize(("node", "counts"), [("algo-1", True), ("algo-2", False), (None, True)])
def test_the_marker_of_another_node_does_not_count(node: str | None, *, counts: bool) -> None:
    assert (find([marker_line()], node) is not None) is counts


def test_later_markers_that_differ_are_counted() -> None:
    other = marker_line(port=22)
    found = find([marker_line(), marker_line(), other, other], "algo-1")
    assert found is not None
    assert (found.port, found.ignored) == (2222, 2)


@pytest.mark.parametrize(
    "line",
    [
        "inet 10.0.1.5/20 scope host lo",
        "inet 10.0.1.5 scope global eth0",
        "inet 300.0.1.5/20 scope global eth0",
        "inet 10.0.1.5/20 brd 10.0.1.255 scope globally eth0",
        "    inet 10.0.1.5/20 scope global eth0" + " " * 1000,
        "SSH Helper Log IP: ",
        "SSH Helper Log IP: 10.0.1.5; rm -rf /",
        "",
    ],
)
def test_similar_lines_are_ignored(line: str) -> None:
    assert find([line], "algo-1") is None


@given(st.lists(st.text(max_size=200) | st.sampled_from(IP_ADDR), max_size=20))
def test_any_text_gives_only_valid_addresses(lines: list[str]) -> None:
    found = find(lines, "algo-1")
    if found is not None:
        assert 0 < len(found.addresses) <= 32
        assert all(str(ipaddress.ip_address(item)) for item in found.addresses)
        assert all("%" not in item for item in found.addresses)
