"""The base images and the command of a Dockerfile are found."""

from __future__ import annotations

import textwrap

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.image import dockerfile

ECR = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training"

IMAGES = {
    "one": ("FROM python:3.12", ["python:3.12"]),
    "no case": ("from python:3.12 as x", ["python:3.12"]),
    "a platform": ("FROM --platform=linux/amd64 python:3.12", ["python:3.12"]),
    "stages": ("FROM a AS one\nFROM b AS two\nFROM ONE\nFROM two", ["a", "b"]),
    "a later stage": ("FROM b\nFROM a AS b", ["b", "a"]),
    "nothing": ("FROM scratch", []),
    "an argument": (f"ARG TAG=2.1\nFROM {ECR}:$TAG", [f"{ECR}:2.1"]),
    "quoted": ('ARG A="x" B=$A\nFROM "${A}:${B}"', ["x:x"]),
    "given": ("ARG GIVEN=1\nFROM a:${GIVEN}", ["a:given"]),
    "not declared": ("FROM a${GIVEN}", ["a"]),
    "a default": ("ARG A\nFROM ${A:-b}:${A-1}", ["b:1"]),
    "an alternative": ("ARG A=1\nFROM b${A:+:x}${B:+:y}", ["b:x"]),
    "a platform's name": ("FROM a-$TARGETARCH", ["a-amd64"]),
    "an argument of a stage": ("FROM a\nARG B=c\nFROM b$B", ["a", "b"]),
    "several lines": ("FROM \\\n# why\n\n  python:3.12 \\  \n  AS x\nFROM x", ["python:3.12"]),
    "a comment": ("# FROM a\n  # FROM c\nFROM b", ["b"]),
    "another escape": ("# syntax=x\n# escape=`\nFROM `\na\nRUN c:\\\nFROM b", ["a", "b"]),
    "no directive": ("# a comment\n# escape=`\nFROM \\\na", ["a"]),
    "copied from": (f"FROM a AS b\nCOPY --link --from={ECR} c d\nCOPY --from=b c d", ["a", ECR]),
    "by number": ("FROM a\nFROM b\nCOPY --from=0 c d", ["a", "b"]),
    "mounted": ("FROM a\nRUN --mount=type=bind,from=b,target=/x --mount=type=cache c", ["a", "b"]),
    "a document": ("FROM a\nRUN <<EOF cat >x <<-'B'\nFROM b\nEOF\nFROM c\n\tB\nFROM d", ["a", "d"]),
    "no document": ("FROM a\nRUN cat <<<EOF; x $((1<<EOF)) \nFROM b", ["a", "b"]),
    "no end": ("FROM a\nRUN <<EOF\nFROM b", ["a", "b"]),
    "no end of many": (f"FROM a\nRUN {'<<A ' * 9000}\n" + "x\n" * 20000 + "FROM b", ["a", "b"]),
    "a tab": ("ARG\tA=1\nFROM\ta:$A", ["a:1"]),
    "no line's end": ("FROM a\nRUN x\x0cFROM b\u2028FROM c", ["a"]),
    "declared again": ("ARG TARGETARCH\nARG A=1\nARG A\nFROM a-$TARGETARCH:$A", ["a-amd64:1"]),
    "a default with a variable": (f"ARG R={ECR}\nFROM ${{B:-${{R}}:1}}", [f"{ECR}:1"]),
    "blanks": (f"# a=b{' ' * 100_000}c\nFROM a", ["a"]),
    "growth": ("ARG A=xx\n" + "ARG A=$A$A$A$A\n" * 12 + "FROM a\nFROM b$B", ["a", "b"]),
    "a mark at the start": ("\ufeffFROM a\r\nFROM b\r\n", ["a", "b"]),
}  # fmt: skip


@pytest.mark.parametrize("case", IMAGES)
def test_the_images_that_it_needs_are_found(case: str) -> None:
    text, wanted = IMAGES[case]
    assert list(dockerfile.read(text, {"GIVEN": "given"}).images) == wanted


OURS = {
    "exec form": 'FROM a\nENTRYPOINT ["sh", "/opt/sm-proxy/entrypoint.sh", "python3", "x.py"]',
    "shell form": "FROM a\nENTRYPOINT exec /opt/sm-proxy/entrypoint.sh train",
    "a folder of another name": 'FROM a\nENTRYPOINT ["/opt/ml/sm_proxy/entrypoint.sh", "train"]',
    "inherited": 'FROM a AS b\nENTRYPOINT ["/opt/sm-proxy/entrypoint.sh"]\nFROM b\nCMD ["x"]',
}
OTHERS = {
    "none": "FROM a",
    "another": 'FROM a\nENTRYPOINT ["train"]\nCMD ["/opt/sm-proxy/entrypoint.sh"]',
    "only a CMD": 'FROM a\nCMD ["/opt/sm-proxy/entrypoint.sh"]',  # a job replaces it with `train`
    "replaced": "FROM a\nENTRYPOINT /opt/sm-proxy/entrypoint.sh\nENTRYPOINT train",
    "of another stage": "FROM a\nENTRYPOINT /opt/sm-proxy/entrypoint.sh\nFROM b",
    "copied only": "FROM a\nCOPY x/ /opt/sm-proxy/entrypoint.sh",
}


@pytest.mark.parametrize("case", [*OURS, *OTHERS])
def test_our_entry_point_is_recognized(case: str) -> None:
    found = dockerfile.read((OURS | OTHERS)[case], {})
    assert found.starts_ours is (case in OURS)


def test_the_stage_that_is_built_counts() -> None:
    text = textwrap.dedent(
        """
        FROM a AS first
        ENTRYPOINT ["/opt/sm-proxy/entrypoint.sh"]
        FROM b AS second
        ENTRYPOINT ["train"]
        """
    )
    assert dockerfile.read(text, {}, "FIRST").starts_ours
    assert dockerfile.read(text, {}, "0").starts_ours
    assert not dockerfile.read(text, {}).starts_ours
    with pytest.raises(SmProxyError, match="no stage third") as caught:
        dockerfile.read(text, {}, "third")
    assert "first, second" in caught.value.hint


def test_a_file_without_an_image_is_refused() -> None:
    with pytest.raises(SmProxyError, match="no FROM"):
        dockerfile.read("ARG A=1\nRUN x\n", {})
