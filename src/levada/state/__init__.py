"""What Levada remembers: runs, positions, watermarks, leases, check results, quarantine."""

from levada.state.leases import Holder, Lease, lease_name
from levada.state.positions import Entry, OnLost, Positions, reconcile
from levada.state.results import CheckResults, Quarantine
from levada.state.runs import ENDED_BADLY, Run, Runs, StepRecord, new_run_id
from levada.state.store import Store
from levada.state.watermarks import DEFAULT_START, Watermarks

__all__ = [
    "DEFAULT_START",
    "ENDED_BADLY",
    "CheckResults",
    "Entry",
    "Holder",
    "Lease",
    "OnLost",
    "Positions",
    "Quarantine",
    "Run",
    "Runs",
    "StepRecord",
    "Store",
    "Watermarks",
    "lease_name",
    "new_run_id",
    "reconcile",
]
