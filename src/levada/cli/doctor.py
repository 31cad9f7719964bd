"""`levada doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from levada.cli.main import Session
from levada.cli.output import show_json
from levada.cli.session import opened


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def doctor(session: Session, as_json: bool) -> int:
    """Check every connection: reachability, version, rights, the least role it needs, and what to do.

    \b
    Example:
      levada doctor
    """
    with opened(session) as project:
        found = project.doctor()
        mask = project.file.secrets.mask
    if as_json:
        plain = {name: [asdict(finding) for finding in findings] for name, findings in found.items()}
        show_json(project.file.secrets.redact(plain))
    else:
        for name, findings in found.items():
            click.secho(name, bold=True)
            for finding in findings:
                mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red")
                click.echo(f"  {mark} {mask(finding.what)}")
                if finding.hint:
                    for line in mask(finding.hint).splitlines():
                        click.echo(f"         {line}")
    return 0 if all(finding.ok for findings in found.values() for finding in findings) else 1
