"""One stage of a Dockerfile: what its instructions do to an image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sm_proxy_lab.image_build import dockerfile, running
from sm_proxy_lab.image_build.copying import Copying
from sm_proxy_lab.image_build.daemon import Image
from sm_proxy_lab.image_build.dockerfile import Instruction
from sm_proxy_lab.image_build.errors import DockerError
from sm_proxy_lab.image_build.ignore import Context
from sm_proxy_lab.image_build.owners import owner
from sm_proxy_lab.image_build.paths import inside
from sm_proxy_lab.image_build.progress import Progress
from sm_proxy_lab.image_build.tree import Tree
from sm_proxy_lab.image_build.variables import expand

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PORT: Final = re.compile(r"\d+(-\d+)?(/(tcp|udp|sctp))?", re.IGNORECASE)
_PLATFORM: Final = {
    f"{side}{part}": value
    for side in ("BUILD", "TARGET")
    for part, value in (("PLATFORM", "linux/amd64"), ("OS", "linux"), ("ARCH", "amd64"))
}
"""ARGs that BuildKit sets: see "Automatic platform ARGs" in the reference."""
_SHELL: Final = ("/bin/sh", "-c")


@dataclass
class Stage:
    """A stage while it is built.

    Attributes:
        tree: its files.
        image: what it becomes.
        context: what COPY reads.
        other: finds what `--from` means.
        given: values of `--build-arg`.
        before: ARGs before the first FROM.
        progress: shows it.
        stand_ins: a folder for the programs that stand in for package managers.
        arguments: the ARGs of this stage.
        shell: what runs the shell form.
        has_cmd: whether CMD stands in this stage.
    """

    tree: Tree
    image: Image
    context: Context
    other: Callable[[str], Context]
    given: Mapping[str, str]
    before: Mapping[str, str]
    progress: Progress
    stand_ins: Path
    arguments: dict[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] = _SHELL
    has_cmd: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """ENV."""
        pairs = (word.partition("=") for word in self.image.config.get("Env") or ())
        return {name: value for name, _, value in pairs}

    def apply(self, instruction: Instruction) -> None:
        """Do what an instruction says.

        Raises:
            DockerError: it fails.
        """
        apply = _APPLY.get(instruction.keyword)
        if apply is None:
            self.progress.note(f"{instruction.keyword} has no effect here")
        else:
            apply(self, instruction)
        if instruction.keyword != "ARG":
            self.image.history.append(self._created_by(instruction))

    def _created_by(self, instruction: Instruction) -> str:
        """The line of the image's history, as BuildKit writes it."""
        if instruction.keyword == "RUN":
            words = [] if instruction.words else self.shell
            return f"RUN {' '.join([*words, instruction.text])} # buildkit"
        words = ["# buildkit"] if instruction.keyword in {"COPY", "ADD"} else []
        return " ".join([instruction.shown, *words])

    def _expand(self, instruction: Instruction, word: str) -> str:
        values = {**self.arguments, **self.environment}
        return expand(word, values, instruction.line)

    def _words(self, instruction: Instruction) -> list[str]:
        """The words of an instruction, with the values of variables."""
        given = instruction.words or dockerfile.split(instruction.text, instruction.line)
        return [self._expand(instruction, word) for word in given]

    def env(self, instruction: Instruction) -> None:
        """ENV: variables of this and later images."""
        found = self.environment
        values = {**self.arguments, **found}
        for name, value in dockerfile.pairs(instruction):
            found[name] = expand(value, values, instruction.line)
        self.image.config["Env"] = [f"{name}={value}" for name, value in found.items()]

    def arg(self, instruction: Instruction) -> None:
        """ARG: variables of the build."""
        for word in dockerfile.split(instruction.text, instruction.line):
            name, has_default, default = word.partition("=")
            value = self.given.get(name)
            if value is None:
                value = self._expand(instruction, default) if has_default else self._known(name)
            self.arguments[name] = value

    def _known(self, name: str) -> str:
        """The value of an ARG that has no default here."""
        return self.before.get(name, _PLATFORM.get(name, ""))

    def label(self, instruction: Instruction) -> None:
        """LABEL."""
        labels = self.image.config.setdefault("Labels", {})
        for name, value in dockerfile.pairs(instruction):
            labels[self._expand(instruction, name)] = self._expand(instruction, value)

    def user(self, instruction: Instruction) -> None:
        """USER."""
        self.image.config["User"] = self._expand(instruction, instruction.text)

    def workdir(self, instruction: Instruction) -> None:
        """WORKDIR: made if it does not exist."""
        here = self.image.config.get("WorkingDir") or "/"
        name = posixpath.normpath(posixpath.join(here, self._expand(instruction, instruction.text)))
        self.image.config["WorkingDir"] = name
        inside(self.tree.root, name).mkdir(parents=True, exist_ok=True)

    def entrypoint(self, instruction: Instruction) -> None:
        """ENTRYPOINT; a CMD of the base image does not count any more."""
        self.image.config["Entrypoint"] = self._command(instruction)
        if not self.has_cmd:
            self.image.config.pop("Cmd", None)

    def cmd(self, instruction: Instruction) -> None:
        """CMD."""
        self.image.config["Cmd"] = self._command(instruction)
        self.has_cmd = True

    def _command(self, instruction: Instruction) -> list[str]:
        if instruction.words is not None:
            return list(instruction.words)
        return [*self.shell, instruction.text]

    def set_shell(self, instruction: Instruction) -> None:
        """SHELL.

        Raises:
            DockerError: it is not in the JSON form.
        """
        if not instruction.words:
            raise DockerError("SHELL requires the arguments to be in JSON form", instruction.line)
        self.shell = instruction.words
        self.image.config["Shell"] = list(instruction.words)

    def expose(self, instruction: Instruction) -> None:
        """EXPOSE: noted, as docker does; nothing is opened."""
        ports = self.image.config.setdefault("ExposedPorts", {})
        for word in self._words(instruction):
            if not _PORT.fullmatch(word):
                raise DockerError(f"invalid containerPort: {word}", instruction.line)
            ports[word if "/" in word else f"{word}/tcp"] = {}

    def volume(self, instruction: Instruction) -> None:
        """VOLUME: noted; the lab's containers have no volumes."""
        volumes = self.image.config.setdefault("Volumes", {})
        volumes |= {word: {} for word in self._words(instruction)}

    def copy(self, instruction: Instruction) -> None:
        """COPY and ADD."""
        *sources, target = self._words(instruction)
        if not sources:
            message = f"{instruction.keyword} requires at least two arguments"
            raise DockerError(message, instruction.line)
        if any(source.startswith(("http://", "https://", "git@")) for source in sources):
            message = f"failed to load cache key: Get {sources[0]!r}: dial tcp: lookup: no network"
            raise DockerError(message, instruction.line)
        place = posixpath.join(self.image.config.get("WorkingDir") or "/", target)
        copying = self._copying(instruction)
        texts = {f"<<{doc.name}": doc for doc in instruction.heredocs}
        for source in list(sources):
            doc = texts.get(source.replace('"', "").replace("'", "").replace("<<-", "<<"))
            if doc is not None:
                sources.remove(source)
                content = self._expand_text(doc.content) if doc.expand else doc.content
                copying.write(doc.name, content, place)
        if sources:
            copying.copy(sources, place)

    def _expand_text(self, text: str) -> str:
        """A text with variables replaced; its quotes stay."""
        quoted = text.replace('"', '\\"').replace("'", "\\'")
        return expand(quoted, {**self.arguments, **self.environment})

    def _copying(self, instruction: Instruction) -> Copying:
        flags = {name: self._expand(instruction, v) for name, v in instruction.flags.items()}
        source, base = self.context, (0, 0)
        found = base if "from" not in flags else None
        if "from" in flags:
            source = self.other(flags["from"])
        if "chown" in flags:
            found = owner(self.tree.root, flags["chown"])
        mode = _mode(flags["chmod"], instruction.line) if "chmod" in flags else None
        is_add = instruction.keyword == "ADD"
        return Copying(source, self.tree.root, found, mode, unpack=is_add)

    def run(self, instruction: Instruction) -> None:
        """RUN.

        Raises:
            DockerError: the command fails.
        """
        if not self.tree.runs:
            self.progress.note(
                "skipped: this machine permits no namespaces, or the lab is not root"
            )
            return
        text = instruction.text
        if instruction.heredocs:
            text = _with_heredocs(instruction)
        argv = instruction.words or (*self.shell, text)
        folder = self.image.config.get("WorkingDir") or "/"
        variables = {"PATH": PATH, **self.arguments, **self.environment}
        user = self.image.config.get("User", "")
        program = running.Program(argv, variables, user, folder)
        status = running.run(self.tree.root, program, self.stand_ins, self.progress.output)
        if status:
            words = " ".join(argv)
            message = f'process "{words}" did not complete successfully: exit code: {status}'
            raise DockerError(message, instruction.line)


def _mode(text: str, line: int) -> int:
    """The mode that `--chmod` gives; octal, as before Docker 28.

    Raises:
        DockerError: it is not a mode.
    """
    try:
        return int(text, 8)
    except ValueError:
        raise DockerError(f"invalid chmod parameter: {text!r}", line) from None


def _with_heredocs(instruction: Instruction) -> str:
    """The command with its texts, as the shell reads them; a text alone is the command."""
    docs = instruction.heredocs
    if len(docs) == 1 and instruction.text.lstrip("<-\"' ").rstrip("\"' ") == docs[0].name:
        return docs[0].content
    return "\n".join([instruction.text, *(f"{doc.content}{doc.name}" for doc in docs)])


_APPLY: Final[dict[str, Callable[[Stage, Instruction], None]]] = {
    "ADD": Stage.copy,
    "ARG": Stage.arg,
    "CMD": Stage.cmd,
    "COPY": Stage.copy,
    "ENTRYPOINT": Stage.entrypoint,
    "ENV": Stage.env,
    "EXPOSE": Stage.expose,
    "LABEL": Stage.label,
    "RUN": Stage.run,
    "SHELL": Stage.set_shell,
    "USER": Stage.user,
    "VOLUME": Stage.volume,
    "WORKDIR": Stage.workdir,
}
