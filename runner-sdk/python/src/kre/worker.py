"""Runs a node as a worker: what `python -m kre` does. runner-sdk/spec/worker.md tells what a worker is.

Nothing here or below touches a signal, so that the author's code and its children have them as Python has them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import kre
from kre import handlers, loader
from kre.channel import VERSION, Channel, Inbox
from kre.context import Process
from kre.ending import FAILED, end_child, end_in_time
from kre.errors import StartError, UsageError, user_traceback
from kre.plain import Plain
from kre.records import Records
from kre.runs import Runs
from kre.worker_pb2 import FromWorker, Hello, Ready

if TYPE_CHECKING:
    from kre.looped import Looped


def main() -> int:
    """Run the node that the runner names until it says Stop; return the exit code."""
    for stream in (sys.stdout, sys.stderr):  # an author's print() shows at once
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    code, mode = 0, None
    try:
        mode = _work(Channel.inherited(os.environ))
    except (StartError, UsageError) as error:
        print(f"kre: {error}", file=sys.stderr)
        code = FAILED
    except AuthorFailed as failed:
        print(user_traceback(failed.error), file=sys.stderr)
        code = FAILED
    end_in_time(code)
    if mode is not None:
        mode.close()
    return code


class AuthorFailed(Exception):
    """The author's module could not be imported, or its init failed."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _work(channel: Channel) -> Plain | Looped:
    inbox = Inbox(channel)
    hello = inbox.hello()
    root = Path(hello.package or os.environ.get("KRE_PACKAGE") or os.getcwd()).resolve()
    Records(channel, hello).install()
    process = Process(hello.version, hello.workflow, hello.node, root)
    mode = _started(channel, inbox, hello, process)
    runtime = f"Python {sys.version.split()[0]}, kre-sdk {kre.__version__}"
    channel.send(Channel.encoded(FromWorker(ready=Ready(protocol=VERSION, runtime=runtime))))
    mode.serve()
    return mode


def _started(channel: Channel, inbox: Inbox, hello: Hello, process: Process) -> Plain | Looped:
    """Load the module and call its init."""
    try:
        found = handlers.of_module(loader.load(hello.src, process.root))
        runs = Runs(channel, found, process, hello.max_output_bytes)
        mode: Plain | Looped
        if found.all_sync:
            mode = Plain(inbox, runs)
        else:
            from kre import looped  # noqa: PLC0415 (asyncio costs 10 MiB and 50 ms)

            mode = looped.Looped(inbox, runs, hello.concurrency)
        mode.init()
    except (StartError, UsageError):
        raise
    except BaseException as error:
        raise AuthorFailed(error) from error
    if channel.forked:
        end_child(None)
    return mode
