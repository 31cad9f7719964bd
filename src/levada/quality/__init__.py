"""Checks: rules about tables, evaluated where the tables live."""

from levada.quality.rules import KINDS, Facts, Kind, Rule, Verdict
from levada.quality.run import Check, CheckResult, Engine, parse, run_checks

__all__ = [
    "KINDS",
    "Check",
    "CheckResult",
    "Engine",
    "Facts",
    "Kind",
    "Rule",
    "Verdict",
    "parse",
    "run_checks",
]
