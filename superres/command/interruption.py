"""Signals that end the command line: nothing unfinished is left, whatever moment they come at."""

import os
import signal
from types import SimpleNamespace

INTERRUPTED = "interrupted, nothing unfinished is left"

# working: whether there may be something to tidy up.  stderr: what ``quiet`` does not touch.
interruption = SimpleNamespace(signals=[], working=False, stderr=2)


def handle_signals():
    """Let Ctrl-C, Ctrl-\\, ``kill`` and a closed terminal end the program with nothing unfinished left behind."""
    interruption.stderr = os.dup(2)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it, or ``&`` in a script
            signal.signal(number, interrupt)


def interrupt(number, _):
    interruption.signals.append(number)
    if not interruption.working:  # raised within TensorFlow's import, an exception would abort the program
        os.write(interruption.stderr, f"srgan.py: {INTERRUPTED}\n".encode())
        os._exit(128 + number)
    if len(interruption.signals) == 1:  # no second one while the first is tidying up
        raise KeyboardInterrupt


def stop_if_interrupted():
    """Raise KeyboardInterrupt if a signal has come: Python drops what is raised within a garbage-collection callback,
    and JAX, where it is installed, has one.
    """
    if interruption.signals:
        raise KeyboardInterrupt
