"""What is emitted while data moves: events and logs. Storing it is the business of `levada.state`."""

from levada.observe.events import Event, Kind, Listener, silence
from levada.observe.timings import Timings
from levada.observe.wording import counted

__all__ = ["Event", "Kind", "Listener", "Timings", "counted", "silence"]
