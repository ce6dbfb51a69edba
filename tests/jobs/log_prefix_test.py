"""Which prefixes a line may have, and which node a prefix names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.jobs import log_formats, log_prefix
from sm_proxy.jobs.log_formats import LogAddress

INET = "    inet 10.0.1.5/20 brd 10.0.15.255 scope global eth0"


def find(*lines: str, node: str | None = "algo-1", alone: bool = False) -> LogAddress | None:
    return next(log_formats.read([lines], node, alone=alone), None)


KNOWN = [
    "",
    "[1,mpirank:0,algo-1]<stdout>:",
    "[1,mpirank:7,algo-1]<stderr>:",
    "[1,0]<stdout>:",
    "[1,0]<stderr>: ",
    "[0]<stdout>:",
    "[0] ",
    "0: ",
    "[prterun-algo-1-25@1,0]<stdout>: ",
    "Sat Nov 28 10:00:00 2026[1,0]<stdout>:",
    "[default0]:",
    "[default3]: ",
    "[rank1]:",
    "algo-1: ",
    "algo-1-8yfk2  | ",
    "\x1b[36malgo-1-8yfk2  |\x1b[0m ",
    "trainer-1  | ",
    "trainer_1  | ",
    "(RayTrainWorker pid=123) ",
    "(pid=123) ",
    "INFO:root:",
    "WARNING:sagemaker.training:",
    "DEBUG:my_app.net-2: ",
    "INFO ",
    "INFO - ",
    "[INFO] ",
    "[info] ",
    "[INFO] root: ",
    "[INFO    ] train - ",
    "INFO root: ",
    "2026-11-28 10:00:00,123 ",
    "2026-11-28 10:00:00,123 INFO ",
    "2026-11-28 10:00:00,123 - root - INFO - ",
    "2026-11-28 10:00:00,123 - INFO - root - ",
    "2026-11-28 10:00:00,123 sagemaker-training-toolkit INFO     ",
    "2026-11-28 10:00:00.123 | INFO     | __main__:main:12 - ",
    "2026-11-28T10:00:00.123456789Z stdout F ",
    "2026-11-28T10:00:00+01:00 ",
    "[2026-11-28 10:00:00,123] [INFO] [launch.py:256:main] ",
    "[2026-11-28 10:00:00 +0000] [7] [INFO] ",
    "11/28/2026 10:00:00 - INFO - root - ",
    "10:00:00 ",
    "Nov 28 10:00:00 ",
    "Nov 28 10:00:00 algo-1 bash[12]: ",
    "Sat Nov 28 10:00:00 UTC 2026 ",
    "entrypoint.sh[7]: ",
    "algo-1[0]: ",
    "10:00:00 web.1   | ",
    "[INFO   ] ",
    "[2026-11-28 10:00:00,123] {train.py:12} INFO - ",
    "info: ",
    "Warning - ",
    "I1128 10:00:00.123456 1234 net.cc:12] ",
    "1795860000.123 ",
    "[1,mpirank:0,algo-1]<stdout>:2026-11-28 10:00:00,123 INFO:root:",
]


@pytest.mark.parametrize("prefix", KNOWN)
@pytest.mark.parametrize("line", [INET, INET.strip(), "2: eth0 " + INET + "\\       valid_lft"])
def test_a_line_with_a_known_prefix_is_read(prefix: str, line: str) -> None:
    found = find(prefix + line)
    assert found is not None
    assert (found.source, found.addresses) == ("ip-addr", ("10.0.1.5",))


@pytest.mark.parametrize(
    "prefix",
    [
        "the address is ",
        "the address is: ",
        "prompt: ",
        "User: ",
        "> ",
        "| ",
        "- ",
        '"',
        "text='",
        '{"message": "',
        "INFO:root:the prompt was ",
        "INFO the prompt was: ",
        "[somebody said it in a long sentence] ",
        "(as I said before) ",
        "got error: ",
        "error: ",
        "information: ",
        "{prompt:it} ",
        "epoch 1 loss 0.3 ",
        "foo-",
        "x",
        "# ",
        "INFO " * 80,
        "[0]" * 30,
    ],
)
def test_a_line_with_other_text_before_it_is_ignored(prefix: str) -> None:
    """A program may print text that others have written, so only known prefixes are accepted."""
    assert find(prefix + INET) is None


@pytest.mark.parametrize(
    "prefix",
    [
        "[1,mpirank:0,algo-2]<stdout>:",
        "[1,mpirank:1,algo-10]<stdout>:",
        "[1,1]<stdout>:",
        "[1,12]<stderr>: ",
        "[1,mpirank:3]<stdout>:",
        "[3]<stdout>:",
        "[1] ",
        "1: ",
        "Sat Nov 28 10:00:00 2026[1,1]<stdout>:",
        "[prterun-algo-1-25@1,1]<stdout>: ",
        "algo-2: ",
        "algo-10: ",
        "algo-2-8yfk2  | ",
        "\x1b[36malgo-2-8yfk2  |\x1b[0m ",
        "(RayTrainWorker pid=123, ip=10.0.1.9) ",
        "INFO:algo-2:",
        "Nov 28 10:00:00 algo-2 bash[12]: ",
        "algo-2[0]: ",
    ],
)
def test_a_line_of_another_node_is_ignored(prefix: str) -> None:
    other = prefix + INET.replace("10.0.1.5", "10.0.1.9")
    assert find(other) is None
    found = find(other, other, INET)
    assert found is not None
    assert found.addresses == ("10.0.1.5",)


def test_an_ssh_helper_line_of_another_node_is_ignored() -> None:
    helper = "SSH Helper Log IP: 10.0.1.9"
    assert find(f"[1,mpirank:1,algo-2]<stdout>:{helper}") is None
    assert find(f"[1,mpirank:0,algo-1]<stdout>:{helper}") is not None


@pytest.mark.parametrize("prefix", ["[1,1]<stdout>:", "[3]<stdout>:", "1: "])
def test_all_ranks_of_a_single_node_count(prefix: str) -> None:
    assert find(prefix + INET, alone=True) is not None
    assert find("algo-2: " + INET, alone=True) is None


@pytest.mark.parametrize("prefix", ["[1,1]<stdout>:", "algo-2: ", ""])
def test_without_node_names_every_line_counts(prefix: str) -> None:
    assert find(prefix + INET, node=None) is not None


def test_lines_joined_by_carriage_returns_are_read() -> None:
    other = INET.replace("10.0.1.5", "10.0.1.6")
    found = find(f" 10%|#  | 1/10\r 20%|## | 2/10\r{INET}\r\n{other}\r")
    assert found is not None
    assert found.addresses == ("10.0.1.5", "10.0.1.6")
    assert find("x" * 5000 + "\r" + INET) == find(INET)


def test_colours_are_ignored() -> None:
    line = (
        "    inet \x1b[35m10.0.1.5\x1b[0m/20 brd \x1b[35m10.0.15.255\x1b[0m "
        "scope global \x1b[36meth0\x1b[0m"
    )
    assert find(line) == find(INET)
    assert find("\x1b[34mSSH Helper Log IP: 10.0.1.5\x1b[0m") is not None


@pytest.mark.parametrize(
    "line",
    [
        "inet ********/20 brd *********** scope global eth0",
        "INFO:root:    inet *********** brd 10.0.15.255 scope global eth0",
        "2: eth0    inet ********/20 brd ******** scope global eth0\\   valid_lft forever",
        "SSH Helper Log IP: *************** ********",
    ],
)
def test_a_masked_address_is_reported(line: str) -> None:
    found = find("hello", line)
    assert found is not None
    assert (found.addresses, found.masked) == ((), True)
    assert find("algo-2: " + line) is None
    assert find("the address is " + line) is None or "Helper" in line
    seen = find(line, INET)
    assert seen is not None
    assert seen.addresses == ("10.0.1.5",)


_BITS = st.sampled_from([*KNOWN, INET, "inet ", "2: eth0 ", "algo-2 | ", "*", "[", "(", " ", "\r"])


@given(st.lists(_BITS | st.text(max_size=20), max_size=40))
def test_any_prefix_is_read_without_an_error(bits: list[str]) -> None:
    prefix = "".join(bits)
    log_prefix.is_known(prefix)
    log_prefix.is_of(prefix, "algo-1", alone=False)
    found = find(prefix)
    assert found is None or found.masked or found.addresses
