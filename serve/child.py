"""A process of this program for work that can crash, stall or swell without taking this one along.

It is started by its module's name and not with `multiprocessing`: so it imports neither the caller's script nor what it
does not need, and comes of no fork of a process with threads. It ends by itself when this process does, however that
ends: the connection breaks.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

from configs.settings import ENV_PREFIX, HOME

READY = b"ready"
"""What the process sends first."""

_START_SECONDS = 120
_END_SECONDS = 5


class Died(Exception):
    """The process has ended, with this exit code; it is negative for a signal."""

    def __init__(self, code: int) -> None:
        super().__init__(f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")
        self.code = code


class Silent(Exception):
    """Nothing came from the process in the time it had."""


class Child:
    """A process and the connection to it. Its module gets the number of its end of the connection, and the arguments.

    Not for several threads at once, but for `kill`.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        ours, its = socket.socketpair()
        with its:
            command = [sys.executable, "-m", module, str(its.fileno()), *arguments]
            # No standard output: what a library prints is nobody's answer. A session of its own: Ctrl-C is for us.
            self._process = subprocess.Popen(
                command, pass_fds=[its.fileno()], env=_environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._connection = Connection(ours.detach())

    def ready(self) -> None:
        """Wait until it is. To be called once, before anything else.

        Raises:
            RuntimeError: it does not start.
        """
        try:
            ready = self.receive(_START_SECONDS) == READY
        except (Died, Silent):
            ready = False
        if not ready:
            raise RuntimeError(f"a process does not start: {self._process.args!r}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: bytes) -> None:
        """Raises `Died`."""
        try:
            self._connection.send_bytes(message)
        except OSError as fault:
            raise self._died() from fault

    def receive(self, seconds: float, most: int | None = None) -> bytes:
        """The next message, of at most so many bytes.

        Raises:
            Silent: there was none for so long.
            Died: nor will there be.
        """
        try:
            if not self._connection.poll(seconds):
                raise Silent
            return self._connection.recv_bytes(most)
        except (EOFError, OSError) as fault:
            raise self._died() from fault

    def kill(self) -> None:
        """End the process; whoever waits for it learns that it died. It must be stopped still."""
        self._process.kill()

    def stop(self) -> None:
        """End the process and the connection."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _died(self) -> Died:
        try:
            return Died(self._process.wait(_END_SECONDS))
        except subprocess.TimeoutExpired:  # it has closed the connection, or sent too long a message
            self._process.kill()
            return Died(self._process.wait())


def _environment() -> dict[str, str]:
    """Ours without the settings, which come as arguments and may hold passwords."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    path = os.pathsep.join(filter(None, (str(HOME), ours.get("PYTHONPATH"))))
    # One thread for each library: the cores belong to the model.
    return {"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **ours, "PYTHONPATH": path}
