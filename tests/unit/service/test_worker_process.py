"""The worker's process spares its collector, and still frees cycles."""

import subprocess
import sys

COLLECTED = """
import gc, weakref
from heddle.service import worker

class Knot:
    pass

worker.spare_collector()
thresholds = gc.get_threshold()
knot = Knot()
knot.itself = knot
gone = weakref.ref(knot)
del knot
held = [[] for _ in range(worker.COLLECT_AFTER_OBJECTS + 1)]
print(thresholds[0], gc.get_freeze_count() > 1_000, gone() is None)
"""


def test_spare_collector_when_objects_come_and_stay_then_cycles_are_freed_at_the_new_threshold() -> None:
    found = subprocess.run([sys.executable, "-c", COLLECTED], capture_output=True, text=True, check=True, timeout=60)

    assert found.stdout.split() == ["50000", "True", "True"]
