from __future__ import annotations

import threading

import pytest

from sm_proxy.local import waits


class Line:
    """A status line that tells whether it may still draw."""

    def __init__(self) -> None:
        self.over = False

    def erase(self) -> None:
        pass

    def stop(self, *, erase: bool) -> None:
        del erase
        self.over = True


def test_no_line_comes_after_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread offers its line just when the main thread hides it."""
    looking, hidden = threading.Event(), threading.Event()

    class Display(waits._Display):
        @property
        def enabled(self) -> bool:
            found = self._enabled
            if threading.current_thread() is not threading.main_thread():
                looking.set()
                hidden.wait(0.2)  # in vain if `hide` waits for this thread, as it should
            return found

        @enabled.setter
        def enabled(self, value: bool) -> None:
            self._enabled = value

    monkeypatch.setattr(waits, "_DISPLAY", Display())
    waits.show()
    line = Line()
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(waits.put_line(line)))
    thread.start()
    assert looking.wait(60)
    waits.hide()
    hidden.set()
    thread.join(60)
    assert taken == [False] or line.over
