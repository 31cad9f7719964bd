"""`levada init`."""

from __future__ import annotations

from pathlib import Path

import click

from levada.errors import ConfigError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--force", is_flag=True, help="Overwrite a levada.yml that is there.")
def init(folder: Path, force: bool) -> int:
    """Write a commented levada.yml into FOLDER. It runs as it is, on an embedded MongoDB.

    \b
    Example:
      levada init my-project && cd my-project && levada run hello
    """
    from levada.config import starter

    file = folder / "levada.yml"
    if file.exists() and not force:
        raise ConfigError(f"{file} is there already", hint="--force overwrites it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(starter(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"can't write {file}: {error.strerror}") from error
    place = f"-p {folder} " if folder != Path() else ""
    click.echo(f"wrote {file}\nnext: levada {place}run hello")
    return 0
