from __future__ import annotations

from sm_proxy.local import footprint, paths


def test_a_note_is_kept_once() -> None:
    for _ in range(2):
        footprint.note("keyring", name="profile x")
    footprint.note("editor", path="/x")
    assert footprint.noted("keyring") == [{"name": "profile x"}]
    assert footprint.noted("ssh-config") == []


def test_a_damaged_record_loses_only_its_line() -> None:
    footprint.note("keyring", name="first")
    with (paths.state_dir() / footprint.FILE_NAME).open("ab") as file:
        file.write(b'[]\n{"kind": "keyr')
    footprint.note("keyring", name="second")
    assert [note["name"] for note in footprint.noted("keyring")] == ["first", "second"]


def test_a_note_that_cannot_be_written_stops_nothing() -> None:
    folder = paths.state_dir()
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    footprint.note("keyring", name="x")
    folder.chmod(0o700)
    assert footprint.noted("keyring") == []
