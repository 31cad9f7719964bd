"""`levada`: the group of commands, what they share, and how errors end."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from levada.errors import LevadaError

#: Command -> where it is defined, and its line in `levada --help`.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("levada.cli.init:init", "Write a commented levada.yml that runs."),
    "demo": ("levada.cli.demo:demo", "Fill an example with data, run it and show what happened."),
    "run": ("levada.cli.run:run", "Run a pipeline over one window."),
    "plan": ("levada.cli.plan:plan", "Show which windows are missing, failed or done."),
    "backfill": ("levada.cli.plan:backfill", "Run the windows that are missing or failed."),
    "copy": ("levada.cli.copy:copy", "Copy a table to another, once."),
    "sql": ("levada.cli.sql:sql", "Run a SELECT inside MongoDB, or explain it."),
    "schema": ("levada.cli.schema:schema", "Show what a table holds: paths, types, examples."),
    "status": ("levada.cli.ledger:status", "Show every pipeline, its last run and its next."),
    "runs": ("levada.cli.ledger:runs", "List runs, or show one with its steps."),
    "doctor": ("levada.cli.doctor:doctor", "Check every connection and say what to do."),
    "config": ("levada.cli.config:config", "Check, show or describe the project file."),
}


@dataclass
class Session:
    """What all commands share: the global options."""

    project: Path | None
    debug: bool
    log_level: str


class NoSuchCommand(click.UsageError):
    """A command that is not there, and those whose names are close."""

    def __init__(self, name: str, ctx: click.Context) -> None:
        from difflib import get_close_matches

        super().__init__(f"there is no command {name!r}", ctx)
        self.possibilities = get_close_matches(name, COMMANDS, 1)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and name not in COMMANDS and not name.startswith("-"):
            raise NoSuchCommand(name, ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-p",
    "--project",
    type=click.Path(path_type=Path),
    help="A levada.yml, or the folder that holds it. Default: here or above.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks, log everything.")
@click.option("--log-level", default="WARNING", show_default=True, help="Of the log on standard error.")
@click.version_option(package_name="levada")
@click.pass_context
def cli(ctx: click.Context, project: Path | None, debug: bool, log_level: str) -> None:
    """The data platform for teams whose system of record is MongoDB.

    \b
    Start with:
      levada init            # writes levada.yml
      levada run hello       # runs its pipeline on an embedded MongoDB
    """
    ctx.obj = Session(project, debug, "DEBUG" if debug else log_level)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a run failed, 2 usage or configuration, 3 a check failed,
    4 position lost."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.ClickException as error:
        code = _explain_usage(error)
    except click.Abort:
        click.echo("stopped", err=True)
        code = 1
    except LevadaError as error:
        code = _explain(error.what, error.where, error.hint, error.exit_code)
    except BrokenPipeError:
        code = 1
    except Exception as error:  # noqa: BLE001 - the last door; people get three lines, --debug the rest
        hint = "this is a defect of Levada; --debug shows the traceback"
        code = _explain(f"{type(error).__name__}: {error}", None, hint, 1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a late Ctrl-C ends the process without a traceback
    sys.exit(code if isinstance(code, int) else 0)


def _explain_usage(error: click.ClickException) -> int:
    from levada.cli.output import show_error
    from levada.cli.usage import told

    show_error(*told(error))
    return 2


def _explain(what: str, where: str | None, hint: str | None, code: int) -> int:
    """Show the error that is being handled in three lines, under --debug with its traceback."""
    from levada.cli.output import show_error

    if "--debug" in sys.argv:
        import traceback

        from levada.cli.masking import masked

        click.echo(masked(traceback.format_exc()), err=True, nl=False)
    show_error(what, where, hint)
    return code
