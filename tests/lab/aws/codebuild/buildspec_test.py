"""Reading a buildspec."""

from __future__ import annotations

import pytest

from sm_proxy_lab.aws.codebuild import buildspec
from sm_proxy_lab.aws.codebuild.buildspec import BuildspecError, Phase

_TEXT = """
version: 0.2
env:
  shell: bash
  variables: {PORT: 22}
  exported-variables: [A, B]
phases:
  install:
    runtime-versions: {python: 3.12}
    commands: one
  build:
    on-failure: CONTINUE
    commands:
      - docker build .
      - |
        two
        lines
    finally: [three]
"""


def test_phases_and_variables_are_read() -> None:
    spec = buildspec.parse(_TEXT)
    assert spec.phases == {
        "install": Phase(("one",)),
        "build": Phase(("docker build .", "two\nlines\n"), ("three",), "CONTINUE"),
    }
    assert (spec.variables, spec.exported, spec.shell) == ({"PORT": "22"}, ("A", "B"), "bash")
    assert spec.uses_docker
    assert not buildspec.parse("{version: 0.2, phases: {build: {commands: [make]}}}").uses_docker


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("just text", "mapping values are expected"),
        ("a: [", "while parsing a flow"),
        ("version: 0.1", "version 0.2, not 0.1"),
        ("version: 0.2", "phases are required"),
        ("version: 0.2\nphases: {test: {}}", "Unknown phase test"),
        ("version: 0.2\nphases: {build: x}", "phase build is not a mapping"),
        ("version: 0.2\nphases: {build: {commands: [{a: b}]}}", "Expected commands"),
        ("version: 0.2\nphases: {build: {on-failure: NO}}", "invalid on-failure"),
        ("version: 0.2\nenv: {parameter-store: {A: b}}\nphases: {}", "env.parameter-store"),
        ("version: 0.2\nenv: {exported-variables: [a-b]}\nphases: {build: {}}", "name a-b"),
    ],
)
def test_an_invalid_buildspec_is_explained(text: str, words: str) -> None:
    with pytest.raises(BuildspecError, match=f"^YAML_FILE_ERROR: .*{words}"):
        buildspec.parse(text)
