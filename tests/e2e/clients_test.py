"""Editors and other clients reach a container, as docs/editors.md says."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import table
from tests.e2e.clients.catalog import ALL, NOT_RUN, node_packages
from tests.e2e.clients.client import Client
from tests.e2e.clients.desk import Desk, opened
from tests.e2e.clients.table import Run
from tests.e2e.labs import Lab, running
from tests.soak import SOAK, cases, only_in_soak

pytestmark = pytest.mark.e2e

_PAGE = table.PAGE.read_text(encoding="utf-8")
_QUICK = [client for client in ALL if client.name in {"git", "tar"}]
"""Other tests run scp, sftp, rsync, asyncssh, and the engines for many hosts."""
_NODE = Path(__file__).parent / "clients" / "node"


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The folder node_modules."""
    return node_packages(tmp_path_factory.mktemp("npm")) if SOAK else None


@pytest.fixture
def desk(lab: Lab, modules: Path | None) -> Iterator[Desk]:
    """A user's machine; its path is short, because programs put sockets below it."""
    with (
        tempfile.TemporaryDirectory(prefix="c") as folder,
        opened(lab, Path(folder), modules) as made,
    ):
        yield made


@pytest.mark.parametrize("client", cases(ALL, _QUICK), ids=lambda client: client.name)
def test_a_client_does_what_its_row_says(desk: Desk, client: Client, modules: Path | None) -> None:
    if not client.found(modules):
        pytest.skip(f"{client.name} is not installed")
    client.try_it(desk)


@only_in_soak
@pytest.mark.parametrize(
    ("image", "has"), [("dropbear", set()), ("python", {"sftp", "scp", "python3"})]
)
def test_a_client_needs_no_more_than_its_row_says(
    image: str, has: set[str], modules: Path | None
) -> None:
    """Dropbear with nothing but busybox, and our own server in Python."""
    with tempfile.TemporaryDirectory(prefix="c") as name:
        folder = Path(name)
        (folder / "lab").mkdir()
        with running(folder / "lab", "--image", image, "--nodes", "2") as other:
            for client in ALL:
                if has.issuperset(client.needs) and client.found(modules):
                    (own := folder / str(ALL.index(client))).mkdir()
                    with opened(other, own, modules) as desk:
                        client.try_it(desk)


def test_the_table_tells_what_was_run() -> None:
    rows = {name: (what, result) for name, (what, _, result) in table.read(_PAGE).items()}
    assert rows == {client.name: (client.what, client.result) for client in ALL}, (
        "run script/clients"
    )
    assert table.written(_PAGE, ALL, {}, NOT_RUN) == _PAGE


def test_a_run_changes_its_own_row_alone() -> None:
    after = table.written(_PAGE, ALL, {"git": Run("9.9", "2030-01-02")}, NOT_RUN)
    changed = set(after.splitlines()) ^ set(_PAGE.splitlines())
    assert len(changed) == 2
    assert all(line.startswith("| git | ") for line in changed)
    assert any(line.endswith("| 2030-01-02 |") for line in changed)


def test_each_link_of_the_table_leads_to_a_section() -> None:
    headings = re.findall(r"^## (.*)$", _PAGE, re.MULTILINE)
    places = {re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = {link for client in ALL for link in re.findall(r"\(#([\w-]+)\)", client.result)}
    assert links
    assert links <= places


def test_the_page_shows_the_program_for_node_that_is_run() -> None:
    (program,) = re.findall(r"^```js\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)
    assert program in (_NODE / "options.mjs").read_text(encoding="utf-8")
