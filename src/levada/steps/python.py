"""`python`: a function of the project, given the run's context."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import bson
from bson.errors import InvalidDocument
from pydantic import Field, field_validator

from levada.errors import ConfigError, Fatal
from levada.steps.base import StepContext, StepResult, StepSettings, Uses

#: A run with all its steps is one document of at most 16 MB.
_MOST_BYTES = 1_000_000


class PythonSettings(StepSettings):
    """Settings of `python`.

    Args:
        call: `module:function`; the module is looked for in the project's folder first.
        args: keyword arguments for the function.
        reads, writes: addresses it uses, for lineage.
    """

    call: str
    args: Mapping[str, Any] = Field(default_factory=dict)
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    @field_validator("call")
    @classmethod
    def _names_a_function(cls, call: str) -> str:
        module, _, function = call.partition(":")
        if not module or not function:
            raise ValueError("write it as module:function")
        return call


class PythonStep:
    """Calls `function(context, **args)`.

    The function returns None, a number of rows, a mapping of values for later steps (its `rows` is the row
    count), or a `StepResult`.
    """

    settings_model: ClassVar[type[StepSettings]] = PythonSettings

    def __init__(self, settings: PythonSettings) -> None:
        self.settings = settings

    def uses(self) -> Uses:
        return Uses(self.settings.reads, self.settings.writes)

    def run(self, context: StepContext) -> StepResult:
        returned = self._function(context)(context, **self.settings.args)
        try:
            return _result(returned)
        except (ValueError, TypeError, OverflowError, InvalidDocument) as error:
            raise Fatal(
                f"what the function returned can't be handed on: {str(error)[:200]}",
                where=self.settings.call,
                hint="return None, a number of rows, or a mapping of text to what BSON can hold, under 1 MB",
            ) from error

    def _function(self, context: StepContext) -> Callable[..., Any]:
        module, _, name = self.settings.call.partition(":")
        root = str(context.root)
        if root not in sys.path:
            sys.path.insert(0, root)
        try:
            function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"can't find {self.settings.call!r}: {error}",
                hint=f"modules are looked for in {context.root} and among the installed ones",
            ) from error
        return function


def _result(returned: Any) -> StepResult:
    """What a function returned, made sure that the ledger can keep it."""
    if isinstance(returned, Mapping):
        returned = StepResult(int(returned.get("rows", 0)), values=dict(returned))
    if not isinstance(returned, StepResult):
        return StepResult(int(returned) if isinstance(returned, int) else 0)
    size = len(bson.encode({"rows": returned.rows, "values": returned.values}))
    if size > _MOST_BYTES:
        raise ValueError(f"its values take {size:,} bytes")
    return returned
