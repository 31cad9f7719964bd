"""The command line. Commands are imported when they are called, so that `levada --help` is quick."""

from levada.cli.main import main

__all__ = ["main"]
