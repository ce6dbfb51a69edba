"""Any commands in any order keep the user's bytes, and never leave a half-written file."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from sm_proxy import cli, config_writer
from sm_proxy.config_writer import Stub
from sm_proxy.settings import Settings, contexts
from tests.soak import SOAK

BOM = b"\xef\xbb\xbf"
PREFIXES = ("sm-", "sm-eu-", "sm-eu-west-", "s", "other.")
LINES = st.sampled_from(
    [
        *(b"Host a", b"Host *", b"Host sm-mine sm-eu-mine", b"  User me", b"Match all", b"", b"\t"),
        *(b"# >>> conda >>>", b"#Include ~/.ssh/sm-proxy/config", b"Include nowhere*", b"\xff\x00"),
    ]
)
CONTENTS = st.tuples(
    st.sampled_from([b"", BOM]),
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n"]))),
    st.sampled_from([b"", b"Host last", b"# \xf8"]),
).map(lambda drawn: drawn[0] + b"".join(a + b for a, b in drawn[1]) + drawn[2])
VALUES = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "profile": VALUES,
        "region": VALUES,
        "bastion": st.sampled_from(["i-1", "mi-2"]),
        "route": st.sampled_from(["auto", "bastion", "direct"]),
        "user": st.sampled_from(["root", "ubuntu", "a_b"]),
        "wait": st.integers(0, 10_000),
    },
)
JOBS = st.lists(st.sampled_from(["a", "b-2", "C.algo-2", "mine"]), unique=True)


class Commands(RuleBasedStateMachine):
    """The real command line on one config, and a model of what the config should hold."""

    @initialize(content=CONTENTS, linked=st.booleans())
    def begin(self, content: bytes, linked: bool) -> None:
        """Create a user's config, possibly as a symlink into a folder of dotfiles."""
        self.place = tempfile.TemporaryDirectory()
        base = Path(self.place.name)
        self.before = dict(os.environ)
        os.environ["SM_PROXY_STATE_DIR"] = str(base / "state")
        self.config, self.user = base / "ssh" / "config", content
        self.config.parent.mkdir(mode=0o700)
        if linked:
            (base / "dotfiles").write_bytes(content)
            self.config.symlink_to(base / "dotfiles")
        else:
            self.config.write_bytes(content)
        self.linked = linked
        self.settings = Settings(ssh_dir=str(self.config.parent / "sm-proxy"))
        self.own = self.settings.ssh_folder / "config"
        self.known: dict[str, dict[str, Any]] = {}

    def ran(self, *words: str) -> None:
        """Run one of our commands, which must succeed."""
        assert cli.main(["config", *words, "--ssh-config", str(self.config)]) == 0

    @rule(prefix=st.sampled_from(PREFIXES), options=OPTIONS)
    def write(self, prefix: str, options: dict[str, Any]) -> None:
        """Add or change a context."""
        words = [f"--{name}={value}" for name, value in options.items()]
        self.ran("write", f"--prefix={prefix}", *words)
        self.known.setdefault(prefix, {}).update(options)

    @precondition(lambda self: self.known)
    @rule()
    def write_again(self) -> None:
        """The second write changes nothing; the first may exclude hosts that the user has added."""
        self.ran("write")
        before = self.own.read_bytes(), self.config.read_bytes()
        self.ran("write")
        assert (self.own.read_bytes(), self.config.read_bytes()) == before
        # ssh refuses some of the user's lines, and then no option counts.
        command = ["ssh", "-F", str(self.config), "-G", "x"]
        refused = subprocess.run(command, capture_output=True, check=False).returncode != 0
        assert cli.main(["config", "check", "--ssh-config", str(self.config)]) == int(refused)

    @precondition(lambda self: self.known)
    @rule(jobs=JOBS)
    def stubs(self, jobs: list[str]) -> None:
        """Replace the stubs, as `sync` does."""
        self.ran("write")
        prefix = next(iter(self.known))
        wanted = [Stub(prefix + job, "root", "Training") for job in jobs]
        config_writer.apply(config_writer.plan_stubs(self.settings, wanted))
        taken = {"sm-mine", "sm-eu-mine"} if b"Host sm-mine" in self.user else set()
        expected = [stub for stub in wanted if stub.host not in taken]
        assert config_writer.read_stubs(self.settings) == expected

    @rule(prefix=st.sampled_from(PREFIXES))
    def remove_one(self, prefix: str) -> None:
        """Remove one context."""
        self.ran("remove", f"--prefix={prefix}")
        self.known.pop(prefix, None)

    @rule()
    def remove(self) -> None:
        """Remove everything."""
        self.ran("remove")
        self.known.clear()

    @rule(line=LINES)
    def edit(self, line: bytes) -> None:
        """The user edits the file."""
        added = b"\n" + line
        with self.config.open("ab") as file:
            file.write(added)
        self.user += added

    @invariant()
    def unharmed(self) -> None:
        """The user's bytes and the contexts are there, and no temporary files."""
        if not hasattr(self, "config"):
            return
        content = self.config.read_bytes()
        assert content.endswith(self.user.removeprefix(BOM))
        assert content.startswith(BOM) is self.user.startswith(BOM)
        assert self.config.is_symlink() is self.linked
        if not self.known:
            assert content == self.user
            assert not self.own.exists()
            return
        assert content.count(b"# >>> sm-proxy >>>") == 1
        found = contexts.read(self.own)
        assert found.keys() == self.known.keys()
        for prefix, options in self.known.items():
            filled = {"user": "root", "wait": Settings.wait} | found[prefix]
            assert {name: filled[name] for name in options} == options
        names = {path.name for path in self.own.parent.iterdir()}
        assert names <= {"config", "id_ed25519", "id_ed25519.pub"}

    def teardown(self) -> None:
        """Removing everything restores the file."""
        os.environ.clear()
        os.environ.update(self.before)
        self.place.cleanup()


TestCommands = Commands.TestCase
TestCommands.settings = hypothesis_settings(
    max_examples=300 if SOAK else 15,
    stateful_step_count=10,
)
