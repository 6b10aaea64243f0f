"""Runs a node as a process: what `python -m kre` does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from kre import handlers, loader, log
from kre.broker import Broker
from kre.config import NodeConfig
from kre.context import Context, Process
from kre.errors import StartError, UsageError, user_traceback
from kre.handlers import Handlers
from kre.session import Session
from kre.userland import Userland

Result = TypeVar("Result")
_log = logging.getLogger("kre")
FAILED = 1
"""Exit code of a process that could not start or go on."""
_PATIENCE = 2.0
"""Seconds that threads of the user's may take to end after everything else has."""


def main() -> int:
    """Run the node that the environment describes until it is told to stop; return the exit code."""
    for stream in (sys.stdout, sys.stderr):  # a user's print() shows at once
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    code = 0
    try:
        asyncio.run(_run())
    except (StartError, UsageError) as error:
        print(f"kre: {error}", file=sys.stderr)
        code = FAILED
    except UserFailed as failed:
        print(user_traceback(failed.error), file=sys.stderr)
        code = FAILED
    _end_in_time(code)
    return code


async def _run() -> None:
    await _Runner(os.environ).run()


def _end_in_time(code: int) -> None:
    """Make sure that the process ends, even if a thread of the user's does not."""

    def end() -> None:
        time.sleep(_PATIENCE)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)

    threading.Thread(target=end, name="kre-end", daemon=True).start()


class UserFailed(Exception):
    """The user's module could not be imported, or its init failed."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class _Stopped(Exception):
    """Told to stop before there was anything to stop."""


class _Runner:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._node = NodeConfig.load(_required(environment, "KRE_CONFIG"))
        self._url = _required(environment, "KRE_NATS_URL")
        self._credentials = environment.get("KRE_NATS_CREDS") or None
        self._root = Path(environment.get("KRE_PACKAGE") or os.getcwd()).resolve()
        self._ready_file = Path(ready) if (ready := environment.get("KRE_READY_FILE")) else None
        self._form = environment.get("KRE_LOG_FORMAT") or "json"
        if self._form not in ("json", "text"):
            raise StartError(f'KRE_LOG_FORMAT is "json" or "text", not {self._form!r}')
        self._level = environment.get("KRE_LOG_LEVEL") or "info"
        if self._level not in log.LEVELS:
            raise StartError(f"KRE_LOG_LEVEL is {', '.join(log.LEVELS)}, not {self._level!r}")
        self._stop = asyncio.Event()

    async def run(self) -> None:
        node = self._node
        log.configure(self._form, self._level, node.version, node.workflow, node.node)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        process = Process(node.version, node.workflow, node.node, self._root)
        broker = Broker(self._url, self._credentials, f"{node.version}.{node.workflow}.{node.node}", node.inbox)
        session = Session(node, process, broker)
        userland = Userland(self._load, session.tell)
        try:
            found = await self._or_stop(asyncio.wrap_future(userland.start()))
            await self._or_stop(asyncio.wrap_future(userland.init(Context(process))))
            await self._or_stop(asyncio.ensure_future(broker.open()))
            await self._or_stop(asyncio.ensure_future(session.open(userland, found)))
            await self._serve(session)
        except _Stopped:
            return
        finally:
            userland.stop()
            await broker.close()

    def _load(self) -> Handlers:
        return handlers.of_module(loader.load(self._node.src, self._root))

    async def _or_stop(self, future: asyncio.Future[Result]) -> Result:
        stop = asyncio.ensure_future(self._stop.wait())
        either: set[asyncio.Future[Any]] = {future, stop}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if not future.done():
            future.cancel()
            raise _Stopped
        error = future.exception()
        if error is None or isinstance(error, (StartError, UsageError)):
            return future.result()
        raise UserFailed(error) from error

    async def _serve(self, session: Session) -> None:
        serving = asyncio.ensure_future(session.serve())
        stop = asyncio.ensure_future(self._stop.wait())
        if self._ready_file is not None:
            self._ready_file.write_text(f"{self._node.node}\n", encoding="utf-8")
        _log.info("ready")
        try:
            await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._ready_file is not None:
                self._ready_file.unlink(missing_ok=True)
            stop.cancel()
            session.stop()
            await serving


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise StartError(f"{name} is not set: a node is started by kre run or by the platform")
    return value
