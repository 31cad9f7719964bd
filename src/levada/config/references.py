"""Names in a project file that must exist elsewhere in it."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from levada.config.model import PipelineSpec, ProjectFile, StateSpec
from levada.config.places import Place, Problem, fault, nearest


def check_references(project: ProjectFile) -> None:
    """Check the connections of tables and state, and what steps need.

    Raises:
        ConfigError: a name doesn't exist, or steps need each other in a circle.
    """
    found = [*_tables(project), *_state(project)]
    for name, pipeline in project.pipelines.items():
        place = project.place("pipelines", name, "steps")
        found += list(_unknown_needs(pipeline, place)) or list(_cycle(pipeline, place))
    if found:
        raise fault(found)


def resolved_state(project: ProjectFile) -> StateSpec:
    """The state with its connection filled in: the only MongoDB one where the file doesn't say."""
    mongodb = _mongodb(project)
    if project.state.connection is None and len(mongodb) == 1:
        return project.state.model_copy(update={"connection": mongodb[0]})
    return project.state


def split_address(address: str) -> tuple[str, str]:
    """`shop.transactions` -> connection and table name; the name may hold further dots.

    Raises:
        ValueError: there is no dot, or nothing on one side of it.
    """
    connection, dot, name = address.partition(".")
    if not (connection and dot and name):
        raise ValueError(f"{address!r} is not a table: write connection.table")
    return connection, name


def _mongodb(project: ProjectFile) -> list[str]:
    return [name for name, spec in project.connections.items() if spec.type == "mongodb"]


def _tables(project: ProjectFile) -> Iterator[Problem]:
    for address in project.tables:
        place = project.place("tables", address)
        try:
            connection, _ = split_address(address)
        except ValueError as error:
            yield Problem(place, str(error))
            continue
        if connection not in project.connections:
            yield Problem(
                place, f"unknown connection {connection!r}", nearest(connection, project.connections)
            )


def _state(project: ProjectFile) -> Iterator[Problem]:
    name, mongodb = project.state.connection, _mongodb(project)
    place = project.place("state", "connection")
    if name is None:
        if project.pipelines and len(mongodb) != 1:
            count = "several MongoDB connections" if mongodb else "no MongoDB connection"
            hint = f"write `state: {{connection: {mongodb[0]}}}`" if mongodb else "add one under connections:"
            yield Problem(place, f"runs are recorded in MongoDB, and the file has {count}", hint)
    elif name not in project.connections:
        yield Problem(place, f"unknown connection {name!r}", nearest(name, mongodb))
    elif name not in mongodb:
        what = f"state is kept in MongoDB, and {name!r} is of type {project.connections[name].type}"
        yield Problem(place, what, nearest(name, mongodb))


def _unknown_needs(pipeline: PipelineSpec, steps: Place) -> Iterator[Problem]:
    for name, step in pipeline.steps.items():
        for index, need in enumerate(step.needs):
            if need not in pipeline.steps:
                others = [other for other in pipeline.steps if other != name]
                yield Problem(steps / name / "needs" / index, f"unknown step {need!r}", nearest(need, others))


def _cycle(pipeline: PipelineSpec, steps: Place) -> Iterator[Problem]:
    sorter = TopologicalSorter({name: step.needs for name, step in pipeline.steps.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        yield Problem(
            steps / circle[0] / "needs",
            f"steps need each other in a circle: {' -> '.join(circle)}",
            "remove one of the needs; a step without `needs` waits for the step before it",
        )
