"""Signals that end the command line: nothing unfinished is left, whatever moment they come at."""

import contextlib
import os
import signal
from types import SimpleNamespace

from superres.command.messages import as_lines

INTERRUPTED = "interrupted, nothing unfinished is left"

interruption = SimpleNamespace(signals=[], stderr=2, at_once=False)


def handle_signals():
    """Let Ctrl-C, ``kill`` and a closed terminal end the program with nothing unfinished left behind."""
    interruption.stderr = os.dup(2)  # which ``quiet`` does not touch
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, interrupt)


def interrupt(number, _):
    interruption.signals.append(number)
    if interruption.at_once:
        os.write(interruption.stderr, as_lines([INTERRUPTED]).encode())
        os._exit(128 + number)
    if len(interruption.signals) == 1:  # no second one while the first is tidying up
        raise KeyboardInterrupt


def stop_if_interrupted():
    """Raise KeyboardInterrupt if a signal has come: Python drops what is raised within a garbage-collection callback,
    and JAX, where it is installed, has one.
    """
    if interruption.signals:
        raise KeyboardInterrupt


@contextlib.contextmanager
def nothing_to_tidy():
    """While the block runs, a signal ends the program at once: raised within TensorFlow's import, it would abort."""
    interruption.at_once = True
    try:
        yield
    finally:
        interruption.at_once = False
