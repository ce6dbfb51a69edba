"""Building images without mounts: what instructions do to files and settings."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sm_proxy_lab.image_build import ignore
from sm_proxy_lab.image_build.builder import Builder
from sm_proxy_lab.image_build.daemon import Daemon, Image
from sm_proxy_lab.image_build.errors import DockerError
from sm_proxy_lab.image_build.layers import LayerStore


@pytest.fixture
def store(tmp_path: Path) -> LayerStore:
    return LayerStore(tmp_path / "layers")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A folder with `a.txt`, `b.txt`, `dir/run.sh`, `dir/sub/x` and a symlink `link` to a.txt."""
    folder = tmp_path / "context"
    (folder / "dir" / "sub").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "dir/sub/x", "dir/run.sh"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o644)
    (folder / "dir" / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("a.txt")
    return folder


def build(store: LayerStore, context: Path, text: str, target: str = "", **given: str) -> Image:
    """Build an image with a daemon of its own."""
    work = context.parent / "docker"
    work.mkdir(exist_ok=True)
    daemon = Daemon(work, store, "http://127.0.0.1:1", privileged=True)
    read = ignore.read(context, context / "Dockerfile")
    return Builder(daemon, read, given, mounts=False).build(text, target)


def files(store: LayerStore, image: Image) -> dict[str, str]:
    """Path -> content of an image's files."""
    (digest,) = image.layers
    root = store.files(digest)
    assert root is not None
    found = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_text() for path in found}


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("a.txt /x", {"x": "a.txt"}),
        ("a.txt /x/", {"x/a.txt": "a.txt"}),
        ("*.txt /x/", {"x/a.txt": "a.txt", "x/b.txt": "b.txt"}),
        ("dir /y", {"y/run.sh": "dir/run.sh", "y/sub/x": "dir/sub/x"}),
        (
            '["link", "dir/", "/z/"]',
            {"z/link": "a.txt", "z/run.sh": "dir/run.sh", "z/sub/x": "dir/sub/x"},
        ),
        ("../../a.txt .", {"w/a.txt": "a.txt"}),
        ("<<text <<'raw' /t/\n$V \"q\"\ntext\n$V\nraw", {"t/text": '1 "q"\n', "t/raw": "$V\n"}),
    ],
)
def test_copy_puts_files_where_docker_does(
    store: LayerStore, context: Path, words: str, made: dict[str, str]
) -> None:
    text = f"FROM scratch\nENV V=1\nWORKDIR /w\nCOPY {words}\n"
    assert files(store, build(store, context, text)) == dict(sorted(made.items()))


def test_copy_follows_symlinks_of_the_image_only(store: LayerStore, context: Path) -> None:
    (context / "tree" / "usr" / "bin").mkdir(parents=True)
    (context / "tree" / "bin").symlink_to("/usr/bin")
    text = "FROM scratch\nCOPY tree /\nCOPY a.txt /bin/\nCOPY dir /bin"
    names = set(files(store, build(store, context, text)))
    assert names == {"usr/bin/a.txt", "usr/bin/run.sh", "usr/bin/sub/x"}


def test_stages_give_each_other_files(store: LayerStore, context: Path) -> None:
    text = (
        "ARG BASE=scratch\nFROM ${BASE} AS One\nCOPY a.txt /made/a\nFROM one\nCOPY b.txt /b\n"
        "FROM scratch as last\nCOPY --from=One /made /from-one/\nCOPY --from=1 / /all/\n"
    )
    assert set(files(store, build(store, context, text))) == {
        "from-one/a",
        "all/made/a",
        "all/b",
    }
    assert set(files(store, build(store, context, text, "one"))) == {"made/a"}


def test_add_unpacks_an_archive(store: LayerStore, context: Path) -> None:
    with tarfile.open(context / "pack.tar.gz", "w:gz") as archive:
        archive.add(context / "dir", "inside")
    image = build(store, context, "FROM scratch\nADD pack.tar.gz /a\n")
    assert set(files(store, image)) == {"a/inside/run.sh", "a/inside/sub/x"}


_SETTINGS = """
FROM scratch
ARG WHO=nobody
ARG UNSET
ENV GREETING="hello $WHO" PATH=/opt:$PATH
LABEL a=b "c d"='e f'
WORKDIR /app
WORKDIR sub
USER 1000:$UNSET
EXPOSE 22 80/udp
VOLUME ["/data"]
CMD ["x"]
ENTRYPOINT run $GREETING
"""


def test_settings_are_kept(store: LayerStore, context: Path) -> None:
    image = build(store, context, _SETTINGS, WHO="you")
    path = "/opt:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    expected: dict[str, Any] = {
        "Env": [f"PATH={path}", "GREETING=hello you"],
        "Labels": {"a": "b", "c d": "e f"},
        "WorkingDir": "/app/sub",
        "User": "1000:",
        "ExposedPorts": {"22/tcp": {}, "80/udp": {}},
        "Volumes": {"/data": {}},
        "Cmd": ["x"],
        "Entrypoint": ["/bin/sh", "-c", "run $GREETING"],
    }
    assert image.config == expected
    document = json.loads(image.document())
    assert document["rootfs"]["diff_ids"] == image.layers
    assert document["history"][0]["created_by"] == 'ENV GREETING="hello $WHO" PATH=/opt:$PATH'


def test_chmod_sets_the_mode(store: LayerStore, context: Path) -> None:
    image = build(store, context, "FROM scratch\nCOPY --chmod=750 a.txt <<text /x/\n1\ntext\n")
    root = store.files(image.layers[0])
    assert root is not None
    modes = {path.name: path.stat().st_mode & 0o777 for path in (root / "x").iterdir()}
    assert modes == {"a.txt": 0o750, "text": 0o750}


def test_an_entrypoint_drops_the_cmd_of_the_base(store: LayerStore, context: Path) -> None:
    base = "FROM scratch AS a\nCMD x\nFROM a\n"
    assert build(store, context, base).config["Cmd"] == ["/bin/sh", "-c", "x"]
    image = build(store, context, f'{base}ENTRYPOINT ["y"]')
    assert "Cmd" not in image.config


def test_the_same_files_give_the_same_image(store: LayerStore, context: Path) -> None:
    text = "FROM scratch\nCOPY . /\n"
    first = build(store, context, text)
    (context / "a.txt").touch()
    assert build(store, context, text).id == first.id
    (context / "a.txt").chmod(0o600)
    assert build(store, context, text).id != first.id


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("COPY missing /x", 2, '"/missing": not found'),
        ("COPY a.txt b.txt /x", 2, "the destination must be a directory and end with a /"),
        ("ADD https://example.com/x /x", 2, "no network"),
        ("COPY --chown=who a.txt /x", 2, "can't find uid for user who"),
        ("COPY --chmod=u+x a.txt /x", 2, "invalid chmod parameter: 'u+x'"),
        ("SHELL sh", 2, "SHELL requires the arguments to be in JSON form"),
        ("FROM registry.example.com/x", 2, "pull access denied"),
        ("FROM 123456789012.dkr.ecr.us-east-1.amazonaws.com/x", 2, "no basic auth credentials"),
        ("FROM Upper", 0, "repository name must be lowercase"),
        ("COPY --from=0 /none /x", 2, '"/none": not found'),
        ("COPY a.txt /x\nCOPY dir /x", 3, "cannot copy to non-directory: /x"),
        ("COPY --nope=1 a.txt /x", 2, "unknown flag: --nope"),
        ("FROM scratch AS a\nFROM scratch AS A", 3, "duplicate name a"),
        ("FROM scratch AS 1a", 2, "invalid name for build stage: '1a'"),
        ("ENV A", 2, "ENV must have two arguments"),
        ("ENV A=${B#x}", 2, "unsupported modifier (#) in substitution"),
        ("EXPOSE http", 2, "invalid containerPort: http"),
    ],
)
def test_an_instruction_that_fails_is_named(
    store: LayerStore, context: Path, text: str, line: int, words: str
) -> None:
    with pytest.raises(DockerError) as caught:
        build(store, context, f"FROM scratch\n{text}\n")
    assert caught.value.line == line
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ARG X=own\nFROM scratch\nENV Y=[$X]", "[]"),
        ("ARG X=global\nFROM scratch\nARG X\nENV Y=[$X]", "[global]"),
        ("ARG X=global\nFROM scratch\nARG X=\nENV Y=[$X]", "[]"),
        ("FROM scratch AS a\nARG X=below\nFROM a\nENV Y=[$X]", "[below]"),
        ("FROM scratch AS a\nARG X=other\nFROM scratch\nENV Y=[$X]", "[]"),
        ("FROM scratch\nARG TARGETARCH\nENV Y=[$TARGETARCH]", "[amd64]"),
        ("FROM scratch\nENV Y=[$GIVEN]\nARG GIVEN", "[]"),
        ("FROM scratch\nARG GIVEN=default\nENV Y=[$GIVEN]", "[given]"),
        ("FROM scratch\nENV GIVEN=env\nARG GIVEN\nENV Y=[$GIVEN]", "[env]"),
    ],
)
def test_an_arg_counts_where_docker_lets_it(
    store: LayerStore, context: Path, text: str, value: str
) -> None:
    image = build(store, context, text, GIVEN="given")
    assert image.config["Env"][-1] == f"Y={value}"


def test_an_ignored_file_is_not_there(store: LayerStore, context: Path) -> None:
    (context / ".dockerignore").write_text("*.txt\ndir/sub\n")
    found = files(store, build(store, context, "FROM scratch\nCOPY . /"))
    assert set(found) == {".dockerignore", "dir/run.sh"}
    with pytest.raises(DockerError, match="not found"):
        build(store, context, "FROM scratch\nCOPY a.txt /")
