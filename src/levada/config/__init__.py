"""levada.yml: reading, checking and describing a project file."""

from levada.config.durations import Duration, format_duration, parse_duration
from levada.config.load import load, starter
from levada.config.model import (
    Columns,
    ConnectionSpec,
    NotifySpec,
    PipelineSpec,
    ProjectFile,
    RetrySpec,
    StateSpec,
    StepSpec,
    TableSpec,
)
from levada.config.places import Place, nearest
from levada.config.references import split_address
from levada.config.registry import connector_class, connector_names, resolve, step_class, step_names
from levada.config.schema import json_schema
from levada.config.secrets import Secrets
from levada.config.validate import validate_settings

__all__ = [
    "Columns",
    "ConnectionSpec",
    "Duration",
    "NotifySpec",
    "PipelineSpec",
    "Place",
    "ProjectFile",
    "RetrySpec",
    "Secrets",
    "StateSpec",
    "StepSpec",
    "TableSpec",
    "connector_class",
    "connector_names",
    "format_duration",
    "json_schema",
    "load",
    "nearest",
    "parse_duration",
    "resolve",
    "split_address",
    "starter",
    "step_class",
    "step_names",
    "validate_settings",
]
