"""Reading a Dockerfile, and the values of its variables."""

from __future__ import annotations

import pytest

from sm_proxy_lab.image_build import dockerfile
from sm_proxy_lab.image_build.errors import DockerError
from sm_proxy_lab.image_build.variables import expand

_TEXT = """\
# escape=`
# a comment
ARG V=1
from  debian:$V  as base
RUN one `
    # not part of it
    two `

    three
COPY --from=base --chown=a:b x y /z/
RUN <<-'EOF' cat
\tinside $V
\tEOF
ENTRYPOINT ["sh", "-c"]
CMD [not json]
"""


def test_instructions_are_read_as_docker_reads_them() -> None:
    found = dockerfile.parse(_TEXT)
    assert [(each.line, each.keyword, each.text) for each in found] == [
        (3, "ARG", "V=1"),
        (4, "FROM", "debian:$V  as base"),
        (5, "RUN", "one     two     three"),
        (10, "COPY", "x y /z/"),
        (11, "RUN", "<<-'EOF' cat"),
        (14, "ENTRYPOINT", '["sh", "-c"]'),
        (15, "CMD", "[not json]"),
    ]
    assert found[3].flags == {"from": "base", "chown": "a:b"}
    assert found[4].heredocs == (dockerfile.Heredoc("EOF", "inside $V\n", expand=False),)
    assert found[5].words == ("sh", "-c")
    assert found[6].words is None


def test_any_blank_ends_the_keyword() -> None:
    assert dockerfile.parse("FROM a\nRUN\t \tx y")[1].text == "x y"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "file with no instructions"),
        ("RUN x", 1, "no build stage in current context"),
        ("FROM a\nRNU x", 2, "dockerfile parse error on line 2: unknown instruction: RNU"),
        ("FROM a\nWORKDIR", 2, "line 2: WORKDIR requires at least one argument"),
        ("FROM a\nRUN <<EOF\nx", 2, "unterminated heredoc EOF"),
        ("# escape=x\nFROM a", 0, "invalid ESCAPE 'x'"),
    ],
)
def test_a_wrong_line_is_named(text: str, line: int, words: str) -> None:
    with pytest.raises(DockerError) as caught:
        dockerfile.parse(text)
    assert caught.value.line == line
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$A/${A}b", "1/1b"),
        ("'$A' \"$A\" \\$A", "$A 1 $A"),
        ("${NONE:-x$A} ${EMPTY-d}. ${EMPTY:-d} ${A:+yes}${NONE+no}", "x1 . d yes"),
        ("$ $NONE.", "$ ."),
        ('"a\\"b"', 'a"b'),
    ],
)
def test_variables_get_their_values(word: str, value: str) -> None:
    assert expand(word, {"A": "1", "EMPTY": ""}) == value


@pytest.mark.parametrize("word", ["${A", "${A:?no A}", "${-}"])
def test_a_wrong_variable_is_an_error(word: str) -> None:
    with pytest.raises(DockerError):
        expand(word, {})


def test_pairs_keep_blanks_within_quotes() -> None:
    old, new = dockerfile.parse("FROM a\nENV NAME the value\nENV A=\"b c\" D='e'\\ f")[1:]
    assert dockerfile.pairs(old) == [("NAME", "the value")]
    assert dockerfile.pairs(new) == [("A", '"b c"'), ("D", "'e'\\ f")]
