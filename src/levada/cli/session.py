"""Opening the project for a command: logs, progress, signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from levada.cli.main import Session
from levada.cli.masking import learn, masked
from levada.cli.output import Progress
from levada.observe.logs import configure
from levada.project import Project, load


@contextmanager
def opened(session: Session, *, quiet: bool = True) -> Iterator[Project]:
    """The project of a command, closed at its end.

    SIGINT and SIGTERM ask a run to stop cleanly; a second one ends the process at once.
    """
    stop = threading.Event()
    with (
        Progress(quiet=quiet) as progress,
        load(session.project, listener=progress, stop=stop) as project,
    ):
        learn(project.file.secrets)
        configure(session.log_level, mask=masked)
        with stopping(stop):
            yield project


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first SIGINT or SIGTERM, exit at the second."""

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
