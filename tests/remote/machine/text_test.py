from __future__ import annotations

from sm_proxy.local.screen import Screen
from sm_proxy.remote.machine import text
from tests.remote.machine.p4d import P4D, read


def test_the_text_has_every_section() -> None:
    shown = text.render(read(P4D), Screen())
    assert "96 CPUs (Intel Xeon), up 1 d 1:01, load 1.5 2 3.25" in shown
    assert "NVIDIA A100-SXM4-40GB  98%   29G of 40G" in shown
    assert "problem: no sftp-server" in shown
    assert "is incomplete" not in shown


def test_a_truncated_report_is_marked_incomplete() -> None:
    result = read(P4D[:600])
    assert not result["complete"]
    assert "is incomplete" in text.render(result, Screen())


def test_a_program_that_waits_for_go_is_shown_with_its_command() -> None:
    shown = text.render(read(P4D.replace("M window\nwait", "M window\nshell")), Screen())
    assert "waits for `sm-proxy go`; its command: $SM_PROXY_RUN_DIR/command" in shown
