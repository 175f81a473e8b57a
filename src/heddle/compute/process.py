"""The parent's hold on one compute child: its start, its calls one at a time, its end, however it comes.

Everything happens on the caller's event loop: frames through a socket, death through a process descriptor, no thread.
It refuses to decide when a child is replaced (``compute.pool``) and what an outcome means (settle). The child's own
half is ``compute.child``, their language ``compute.frames``.

A child ends in one of four ways, each seen here as two events in either order, the channel's end and the process's
exit: retired (we close the channel, it leaves), killed (a timeout, a cancellation, the end of a drain), crashed (it
went by itself), broken (it sent what is no frame, or closed the channel; it is killed and counts as crashed).
"""

import asyncio
import contextlib
import enum
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import BinaryIO, cast

from heddle.compute import frames, launch
from heddle.ports import compute

logger = logging.getLogger("heddle.compute")

CRASH_REPORT_CHARS_MAX = 4_000
# How long the bytes a dead child has left in its channel may take to be read before its call is called crashed.
LAST_WORDS_S = 1.0
EXIT_POLL_S = 0.05


class Stop(enum.Enum):
    """Say why a call ended without an answer of its child."""

    EXPIRED = "expired"
    GONE = "gone"


class ChildProcess(asyncio.Protocol):
    """Hold one child: launched when made, warm after ``prepare``, then ``run`` one call at a time; ``gone`` at last."""

    def __init__(self, *, options: launch.ChildOptions, loop: asyncio.AbstractEventLoop) -> None:
        self._options = options
        self._loop = loop
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._prepared: asyncio.Future[None] = loop.create_future()
        self._reply: asyncio.Future[tuple[frames.Kind, bytes] | Stop] | None = None
        self._exited: asyncio.Future[int] = loop.create_future()
        self._violation: str | None = None
        self._crash_report = ""
        self._is_retired = False
        self._is_killed = False
        self._is_channel_closed = False
        self.calls_answered = 0
        self.is_worn = False
        self._launched = launch.launch(options)
        self._process = self._launched.process
        self.pid = self._process.pid
        self._watch_exit()

    @property
    def is_usable(self) -> bool:
        """Tell whether the child can take a call now."""
        is_ending = self._is_retired or self._is_killed or self._is_channel_closed or self._violation is not None
        return self._prepared.done() and self._reply is None and not is_ending and not self._exited.done()

    @property
    def has_crashed(self) -> bool:
        """Tell, once it is gone, whether it went against our will."""
        return not self._is_retired and not self._is_killed

    async def prepare(self) -> None:
        """Wait until the child has imported what it is to import and said ready.

        Raises ComputeUnavailable with the reason when it does not within ``start_timeout_s``; the child is then killed,
        as it is on cancellation.
        """
        preparation = frames.Preparation(
            preload=self._options.preload,
            python_path=os.environ.get("PYTHONPATH"),
            max_result_bytes=self._options.max_result_bytes,
        )
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                await self._loop.create_unix_connection(lambda: self, sock=self._launched.channel)
                self._write(frames.pack_preparation(preparation))
                await self._prepared
        except TimeoutError:
            self.kill()
            raise compute.ComputeUnavailable(
                f"compute child {self.pid} was not ready within {self._options.start_timeout_s} s (start_timeout_s); "
                "look at what preload imports"
            ) from None
        except BaseException:
            self.kill()
            raise

    async def run(self, call: compute.ComputeCall) -> compute.ComputeOutcome:
        """Run one call; see ``ports.compute.Compute.run``."""
        assert self.is_usable, f"child {self.pid} was given a call it can not take"
        frame = frames.pack_call(function=call.function, memory_bytes=call.memory_bytes, arguments=call.arguments)
        reply = self._reply = self._loop.create_future()
        started_s = time.perf_counter()
        expiry = self._loop.call_later(call.timeout_s, self._expire)
        self._write(frame)
        try:
            answer = await reply
        except asyncio.CancelledError:
            # An answer that arrived in the same turn of the loop leaves the child healthy; what it says is for nobody.
            if reply.cancelled():
                self.kill()
            else:
                reply.exception()
            raise
        finally:
            expiry.cancel()
            self._reply = None
        return self._outcome(answer, call=call, elapsed_s=time.perf_counter() - started_s)

    def abandon(self, reason: str) -> None:
        """Kill the child under its call, whose ``run`` raises ComputeUnavailable with the reason."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(compute.ComputeUnavailable(reason))
        self.kill()

    def retire(self) -> None:
        """Let the child leave by itself, as it does on the channel's end; kill it after ``exit_timeout_s``."""
        if self._is_retired or self._is_killed or self._exited.done():
            return
        self._is_retired = True
        self._close_channel()
        overdue = self._loop.call_later(self._options.exit_timeout_s, self._kill_group)
        self._exited.add_done_callback(lambda _: overdue.cancel())

    def kill(self) -> None:
        """Kill the child and all it has started. A second call does nothing."""
        if self._is_killed or self._exited.done():
            return
        self._is_killed = True
        self._kill_group()
        self._close_channel()

    async def gone(self) -> int:
        """Wait for the process's end and return its exit code, negative for a signal. Cancelling kills nothing."""
        return await asyncio.shield(self._exited)

    def on_gone(self, callback: Callable[["ChildProcess"], None]) -> None:
        """Have ``callback`` called with this child, once, soon after its end."""
        self._exited.add_done_callback(lambda _: callback(self))

    # What the channel says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the channel over from the loop."""
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Cut the stream into frames."""
        self._received += data
        while len(self._received) >= frames.HEADER.size and self._violation is None:
            kind, length = frames.HEADER.unpack_from(self._received)
            if length > self._options.max_result_bytes + frames.REPORT_BYTES_MAX:
                self._break(f"announced a frame of {length} bytes")
                return
            end = frames.HEADER.size + length
            if len(self._received) < end:
                return
            payload = bytes(self._received[frames.HEADER.size : end])
            del self._received[:end]
            self._take(kind, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the channel's end; a child that closed it and lives is of no more use."""
        self._is_channel_closed = True
        if self._exited.done():
            self._declare_gone()
        elif not self._is_retired and not self._is_killed:
            # A dying process closes its files a moment before its end can be seen.
            self._loop.call_later(LAST_WORDS_S, self._break, "closed its channel")

    def _take(self, kind: int, payload: bytes) -> None:
        waits = self._reply is not None and not self._reply.done()
        try:
            match kind:
                case frames.Kind.READY if not self._prepared.done():
                    self._prepared.set_result(None)
                case frames.Kind.REFUSED if not self._prepared.done():
                    raised = frames.unpack_raised(payload)
                    logger.error(
                        "compute.child_refused: child %d could not prepare\n%s", self.pid, raised.traceback_text
                    )
                    self._prepared.set_exception(
                        compute.ComputeUnavailable(
                            f"a compute child could not prepare: {raised.error_type}: {raised.message}"
                        )
                    )
                case frames.Kind.DONE | frames.Kind.RAISED | frames.Kind.TOO_LARGE if waits:
                    _check(frames.Kind(kind), payload)
                    assert self._reply is not None
                    self._reply.set_result((frames.Kind(kind), payload))
                case _ if self._is_killed or self._is_retired:
                    # The answer to a call that has just been given up.
                    pass
                case _:
                    self._break(f"sent a frame of kind {kind} that nobody waits for")
        except ValueError as error:
            self._break(f"sent a frame of kind {kind} that can not be read: {error}")

    def _break(self, what: str) -> None:
        """Kill a child whose words can not be trusted any more; it counts as crashed."""
        if self._violation is None and not self._exited.done():
            self._violation = what
            self._kill_group()
            self._close_channel()

    # What the process does.

    def _watch_exit(self) -> None:
        if sys.platform == "linux":
            try:
                exit_fd = os.pidfd_open(self.pid)
            except OSError as error:
                # Kernels before 5.3 and some sandboxes have none.
                logger.debug("compute.pidfd_refused: %s; the exit of child %d is polled", error, self.pid)
            else:
                self._loop.add_reader(exit_fd, self._on_exit, exit_fd)
                return
        self._poll_exit()

    def _poll_exit(self) -> None:
        if self._process.poll() is None:
            self._loop.call_later(EXIT_POLL_S, self._poll_exit)
        else:
            self._on_exit(None)

    def _on_exit(self, exit_fd: int | None) -> None:
        # Before it is reaped its number is still its group's, so nothing but what it started can be hit.
        self._kill_group()
        code = self._process.wait()
        if exit_fd is not None:
            self._loop.remove_reader(exit_fd)
            os.close(exit_fd)
        os.close(self._launched.life_fd)
        self._crash_report = _read_report(self._launched.report)
        self._exited.set_result(code)
        if not self._prepared.done():
            self._prepared.set_exception(
                compute.ComputeUnavailable(
                    f"a compute child ended before it was ready: {_ending(code)}{self._crash_report}"
                )
            )
            # Somebody may have stopped waiting; the reason was for them alone.
            self._prepared.exception()
        if self._transport is None or self._is_channel_closed:
            self._close_channel()
            self._declare_gone()
        else:
            self._loop.call_later(LAST_WORDS_S, self._declare_gone)

    def _declare_gone(self) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(Stop.GONE)
        self._close_channel()

    def _kill_group(self) -> None:
        # Gone already is what was wanted; macOS says so of a zombie with PermissionError.
        if not self._exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _close_channel(self) -> None:
        if self._transport is None:
            self._launched.channel.close()
        elif self._is_killed or self._violation is not None:
            self._transport.abort()
        else:
            self._transport.close()

    def _expire(self) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(Stop.EXPIRED)
            self.kill()

    def _write(self, frame: bytes) -> None:
        assert self._transport is not None
        self._transport.write(frame)

    # What the call comes to.

    def _outcome(
        self, answer: tuple[frames.Kind, bytes] | Stop, *, call: compute.ComputeCall, elapsed_s: float
    ) -> compute.ComputeOutcome:
        match answer:
            case Stop.EXPIRED:
                return compute.ComputeTimedOut(elapsed_s=elapsed_s)
            case Stop.GONE:
                return self._crash(call=call, elapsed_s=elapsed_s)
            case (frames.Kind.DONE, payload):
                self.calls_answered += 1
                return compute.ComputeDone(value=payload, elapsed_s=elapsed_s)
            case (frames.Kind.RAISED, payload):
                self.calls_answered += 1
                raised = frames.unpack_raised(payload)
                # What is left of a heap that met its cap is not a fair start for the next call.
                self.is_worn = self.is_worn or raised.error_type == MemoryError.__name__
                return compute.ComputeRaised(
                    error_type=raised.error_type,
                    message=raised.message,
                    traceback_text=raised.traceback_text,
                    elapsed_s=elapsed_s,
                )
            case (_, payload):
                self.calls_answered += 1
                return compute.ComputeTooLarge(
                    what="result", size_bytes=frames.unpack_size(payload), limit_bytes=self._options.max_result_bytes
                )

    def _crash(self, *, call: compute.ComputeCall, elapsed_s: float) -> compute.ComputeCrashed:
        code = self._exited.result()
        cause = f"it {self._violation} and was killed" if self._violation is not None else _ending(code)
        return compute.ComputeCrashed(
            signal_number=-code if code < 0 else None,
            exit_code=code if code >= 0 else None,
            detail=f"{call.label}: compute child {self.pid} died under the call: {cause}{self._crash_report}",
            elapsed_s=elapsed_s,
        )


def _check(kind: frames.Kind, payload: bytes) -> None:
    """Raise ValueError when an answer is not what its kind says. A result is opaque here."""
    if kind is frames.Kind.RAISED:
        frames.unpack_raised(payload)
    elif kind is frames.Kind.TOO_LARGE:
        frames.unpack_size(payload)


def _read_report(file: BinaryIO) -> str:
    """Read what the fault handler wrote, as lines to append to a sentence, and let go of the file."""
    with file:
        report = os.pread(file.fileno(), CRASH_REPORT_CHARS_MAX, 0).decode(errors="replace").strip()
    return f"\n{report}" if report else ""


def _ending(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", which the kernel sends when memory runs out" if name == "SIGKILL" else ""
    return f"it was ended by {name}{hint}"
