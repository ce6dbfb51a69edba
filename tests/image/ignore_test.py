"""`.dockerignore` means what it means to Docker.

Most cases are those of moby/patternmatcher's own tests (patternmatcher_test.go).
"""

from __future__ import annotations

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.image import ignore

MATCHING = [
    ("**", "file"),
    ("**/", "dir/file"),
    ("**/**", "dir/file"),
    ("dir/**", "dir/file"),
    ("dir/**", "dir/dir2/file"),
    ("**/dir", "dir"),
    ("**/dir", "a/dir"),
    ("**/dir", "dir/file"),
    ("**/dir2/*", "dir/dir2/file"),
    ("**/dir2/**", "dir/dir2/dir3/file"),
    ("**file", "dir/file"),
    ("**file", "myfile"),
    ("**/file", "dir/dir/file"),
    ("**/file*", "dir/dir/file.txt"),
    ("**/file*.txt*", "dir/dir/file.txt"),
    ("**/**/*.txt", "dir/dir/file.txt"),
    ("**/*.txt", "file.txt"),
    ("a**/*.txt", "a/file.txt"),
    ("a**/*.txt", "a/dir/dir/file.txt"),
    ("a/*.txt**", "a/file.txt"),
    ("a[b-d]e", "ace"),
    ("a[^b-d]e", "aze"),
    ("a[[]e", "a[e"),
    ("[\\]a]", "]"),
    ("[x\\-]", "-"),
    ("[a||b]", "|"),
    ("a\\*b", "a*b"),
    ("a\\\\", "a\\"),
    (".*", ".foo"),
    ("abc.def", "abc.def"),
    ("abc?def", "abcZdef"),
    ("a.|)$(}+{bc", "a.|)$(}+{bc"),
    ("dist/*.whl", "dist/x-2.4.0rc3.dev36+g08acad9-py3-none-any.whl"),
    ("docs", "docs/README.md"),
    ("docs/", "docs/README.md"),
    ("/docs/./x/../", "docs/README.md"),
    ("  docs\t", "docs"),
    ("a*", "ab/c"),
    ("[b-ζ]*", "δ"),
]
OTHERS = [
    ("dir", "sub/dir"),  # unlike in .gitignore, a name means the top
    ("*.txt", "dir/file.txt"),
    ("**/**/*.txt2", "dir/dir/file.txt"),
    ("a/*.txt", "a/dir/file.txt"),
    ("a[b-d]e", "ae"),
    ("a[^b-d]e", "ace"),
    (".*", "foo"),
    ("abc.def", "abcZdef"),
    ("abc?def", "abcdef"),
    ("abc?def", "abc/def"),
    ("abc/**", "abc"),
    ("**/.foo", "bar.foo"),
    ("a(b)c/def", "a(b)c/xyz"),
    ("a*b", "a/b"),
    ("a\\*b", "ab"),
    ("# docs", "docs"),
    ("*.go", "."),
    (".", "docs"),
    ("/", "docs"),
    ("../docs", "docs"),
]
SEVERAL = [
    (["docs", "!docs/README.md"], "docs/README.md", False),
    (["docs/*", "! docs/README.md"], "docs/README.md", False),
    (["docs", "!docs/README.md", "docs/README.md"], "docs/README.md", True),
    (["!fileutils.go", "*.go"], "fileutils.go", True),
    (["*.go", "!fileutils.go"], "fileutils.go", False),
    (["**", "!util/docker/web"], "util/docker/web/foo", False),
    (["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", True),
    (["**", "!dist/*.whl"], "dist/x+y.whl", False),
    (["*", "!src", "**/*.pyc"], "src/a.pyc", True),
    (["*", "!src", "**/*.pyc"], "src/a.py", False),
    (["*", "!src", "src/big"], "src/big/x", True),
    # When BuildKit meets the folder a, nothing is left out yet, so it does not note the exception.
    (["*/*", "!a"], "a/b/c", True),
    (["\ufeffdocs", "#x", ""], "docs", True),
]


def left_out(patterns: list[str], path: str) -> bool:
    """Whether a path is left out, found as a walk through the folders does."""
    ignored = ignore.read("\n".join(patterns), ".dockerignore")
    parts = path.split("/")
    out, state = False, tuple[bool, ...]()
    for depth in range(len(parts)):
        out, state = ignored.match("/".join(parts[: depth + 1]), state)
    return out


@pytest.mark.parametrize(("pattern", "path"), MATCHING)
def test_a_matching_path_is_left_out(pattern: str, path: str) -> None:
    assert left_out([pattern], path)


@pytest.mark.parametrize(("pattern", "path"), OTHERS)
def test_another_path_is_sent(pattern: str, path: str) -> None:
    assert not left_out([pattern], path)


@pytest.mark.parametrize(("patterns", "path", "out"), SEVERAL)
def test_the_last_matching_pattern_decides(patterns: list[str], path: str, out: bool) -> None:
    assert left_out(patterns, path) is out


@pytest.mark.parametrize(
    "pattern", ["!", "[", "[^", "a[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "\\", "[z-a]"]
)
def test_a_pattern_that_docker_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(SmProxyError, match=r"line 2 of \.dockerignore") as caught:
        ignore.read(f"docs\n{pattern}\n", ".dockerignore")
    assert caught.value.code == "bad-setting"


@pytest.mark.parametrize(
    ("patterns", "folder", "hidden"),
    [
        (["a"], "a", True),
        (["a", "!b/c"], "a", True),
        (["a", "!a/b/c"], "a", False),
        (["a", "!a/b/c"], "a/b", False),
        (["a", "!a/b/c"], "a/d", True),
        (["a", "!**/c"], "a/d", False),
        (["a", "!a/*/c"], "a/d", False),
        (["a", "!a/*/c"], "b", True),
    ],
)
def test_a_folder_is_entered_if_an_exception_may_be_in_it(
    patterns: list[str], folder: str, hidden: bool
) -> None:
    ignored = ignore.read("\n".join(patterns), ".dockerignore")
    assert ignored.hides_all_of(folder) is hidden
