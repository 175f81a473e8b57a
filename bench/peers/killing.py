"""Kill one of two workers in the middle of a drain, and see what is lost, what runs twice, and when work goes on.

A job logs its beginning, sleeps 5 ms, logs its end. One whole worker, parent and children, is killed with SIGKILL when
30 % are done. The survivor works until nothing more happens for the contender's stall time; what is missing then was
not taken over by itself. Then the killed worker is started again, as a supervisor would; what is still missing then is
lost or stuck. Before it: the rig.
"""

import collections
import dataclasses
import itertools
import time

from bench.figures import Figure, Unit
from bench.peers import rig as rigs
from bench.peers import tally
from bench.peers.contenders import KINDS, Contender, Workload

KILL_AT = 0.3
BEGIN_TIMEOUT_S = 90.0
LOOK_S = 0.25


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """Who began and ended which job and when, by job."""

    begun: dict[int, list[tally.Line]]
    ended: dict[int, list[tally.Line]]


def kill(rig: rigs.Rig, contender: Contender, count: int, *, is_careful: bool) -> list[Figure]:
    """Measure with the settings as they come, or with the careful ones. Raises ContenderFailed when nothing runs."""
    workload = Workload.KILL
    stall_s = contender.careful_stall_s if is_careful else contender.stall_s
    assert stall_s is not None, "asked for careful settings of a contender that has none"
    with rig.door(contender, workload, is_careful=is_careful) as door:
        door.ask(do="many", kind=KINDS[workload], first=0, last=count)
        with rig.workers(contender, workload, is_careful=is_careful) as workers:
            if not rigs.wait_for(lambda: tally.read().done >= count * KILL_AT, timeout_s=BEGIN_TIMEOUT_S):
                raise rigs.ContenderFailed(f"{contender.name} had not done {KILL_AT:.0%} after {BEGIN_TIMEOUT_S:g} s")
            victim = rigs.kill_tree(workers.running[0])
            killed_ns = time.time_ns()
            log = _read()
            interrupted = {
                number for number, lines in log.begun.items() if number not in log.ended and lines[-1].pid in victim
            }
            _until_quiet(count, stall_s)
            missing = count - len(_read().ended)
            if missing:
                words = contender.commands[workload][0]
                rig.start(workers, contender, workload, words=words, slot=0, is_careful=is_careful)
                _until_quiet(count, stall_s)
    return _figures(contender, _read(), count, killed_ns, interrupted, missing, is_careful=is_careful)


def _figures(
    contender: Contender,
    log: _Log,
    count: int,
    killed_ns: int,
    interrupted: set[int],
    missing: int,
    *,
    is_careful: bool,
) -> list[Figure]:
    prefix = f"{contender.name}.{Workload.KILL}{'_careful' if is_careful else ''}"
    again_s = [(log.begun[number][-1].at_ns - killed_ns) / 1e9 for number in interrupted if len(log.begun[number]) > 1]
    last_ns = max(line.at_ns for lines in log.ended.values() for line in lines)
    counts = {
        "interrupted": len(interrupted),
        "missing_before_restart": missing,
        "lost": count - len(log.ended),
        "begun_twice": sum(len(lines) > 1 for lines in log.begun.values()),
        "ended_twice": sum(len(lines) > 1 for lines in log.ended.values()),
    }
    found = [Figure(name=f"{prefix}.{name}", value=value, unit=Unit.COUNT) for name, value in counts.items()]
    if again_s:
        found.append(Figure(name=f"{prefix}.resumed_after_s", value=max(again_s), unit=Unit.SECONDS))
    ends_s = sorted((line.at_ns - killed_ns) / 1e9 for lines in log.ended.values() for line in lines)
    pauses_s = [after - max(before, 0.0) for before, after in itertools.pairwise(ends_s) if after > 0]
    if pauses_s:
        found.append(Figure(name=f"{prefix}.longest_pause_s", value=max(pauses_s), unit=Unit.SECONDS))
    found.append(Figure(name=f"{prefix}.over_after_s", value=(last_ns - killed_ns) / 1e9, unit=Unit.SECONDS))
    return found


def _until_quiet(count: int, stall_s: float) -> None:
    """Wait until everything has ended, or nothing has for the stall time."""
    seen, seen_s = -1, time.monotonic()
    while time.monotonic() - seen_s < stall_s:
        ended = _read().ended
        if len(ended) >= count:
            return
        lines = sum(map(len, ended.values()))
        if lines != seen:
            seen, seen_s = lines, time.monotonic()
        time.sleep(LOOK_S)


def _read() -> _Log:
    log = _Log(begun=collections.defaultdict(list), ended=collections.defaultdict(list))
    for line in tally.lines():
        (log.begun if line.what == "start" else log.ended)[line.number].append(line)
    return log
