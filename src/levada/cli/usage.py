"""Mistakes in how a command is called, told as every other error: what, where, what to do."""

from __future__ import annotations

import click


def told(error: click.ClickException) -> tuple[str, str, str]:
    """What, where and hint of an error of the command line."""
    near = getattr(error, "possibilities", None) or []
    text = " ".join((error.message if near else error.format_message()).split())
    what = (text[:1].lower() + text[1:]).rstrip(".")
    command = _command(getattr(error, "ctx", None))
    guess = f"did you mean `{near[0]}`? " if near else ""
    return what, f"`{command}`", f"{guess}`{command} --help` shows how it is called"


def _command(context: click.Context | None) -> str:
    if context is None:  # the options in front of the command are wrong
        return "levada"
    return " ".join(filter(None, (context.command_path, context.invoked_subcommand)))
