"""Checks: rules about tables, evaluated where the tables live."""

from levada.quality.rules import KINDS, Facts, Kind, Rule, Verdict
from levada.quality.run import Check, CheckResult, parse, run_checks

__all__ = ["KINDS", "Check", "CheckResult", "Facts", "Kind", "Rule", "Verdict", "parse", "run_checks"]
