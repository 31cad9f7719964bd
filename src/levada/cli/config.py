"""`levada config`."""

from __future__ import annotations

import click

from levada.cli.main import Session
from levada.cli.output import show_json
from levada.cli.session import opened
from levada.observe import counted


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def config() -> None:
    """Check, show or describe the project file.

    \b
    Examples:
      levada config check
      levada config show
      levada config schema > levada.schema.json
    """


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def check(session: Session, as_json: bool) -> int:
    """Read the project file and check every name and every setting in it."""
    with opened(session) as project:
        counts = {
            "connections": len(project.file.connections),
            "tables": len(project.file.tables),
            "pipelines": len(project.pipelines),
            "steps": sum(len(pipeline.steps) for pipeline in project.pipelines.values()),
        }
        for name in project.file.connections:
            project.tables.connection(name)
    if as_json:
        show_json({"file": str(project.file.path), **counts})
    else:
        click.echo(
            f"{project.file.path} is valid: "
            + ", ".join(counted(n, what.removesuffix("s")) for what, n in counts.items())
        )
    return 0


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(session: Session, as_json: bool) -> int:
    """Print the project file as written; values from the environment are not filled in."""
    with opened(session) as project:
        if as_json:
            show_json(project.file.written)
            return 0
        import yaml

        text = yaml.safe_dump(dict(project.file.written), sort_keys=False, allow_unicode=True)
        click.echo(project.file.secrets.mask(text), nl=False)
    return 0


@config.command()
def schema() -> int:
    """Print the JSON Schema of a project file, for editors."""
    from levada.project import schema as project_schema

    show_json(project_schema())
    return 0
