"""`python`: a function of the project, given the run's context."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from levada.errors import ConfigError
from levada.steps.base import StepContext, StepResult, StepSettings, Uses


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
        if isinstance(returned, StepResult):
            return returned
        if isinstance(returned, Mapping):
            return StepResult(int(returned.get("rows", 0)), values=dict(returned))
        return StepResult(returned if isinstance(returned, int) else 0)

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
