"""The fixture ``workflows_emulator`` for anybody's pytest, found by it once this package is installed.

Imports nothing but pytest until a test asks for it. It runs in a thread of its own, so that tests may block.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bridge.emulator.instance import Instance
    from bridge.emulator.journal import Record
    from bridge.emulator.server import Emulator
    from bridge.emulator.settings import EmulatorSettings

    _Result = TypeVar("_Result")

START_SECONDS = 10.0


class RunningEmulator:
    """An emulator in a thread; its methods may be called from any other."""

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        from bridge.emulator.server import Emulator  # noqa: PLC0415  only for those who use it

        self._emulator: Emulator = Emulator(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="workflows-emulator", daemon=True)

    def __enter__(self) -> Self:
        """It listens on a free port of loopback. Raises OSError."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._emulator.__aenter__(), self._loop).result(START_SECONDS)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """It is gone; what it was asked stays readable."""
        try:
            asyncio.run_coroutine_threadsafe(self._emulator.__aexit__(), self._loop).result(START_SECONDS)
        finally:
            self._end()

    @property
    def base_url(self) -> str:
        """Of the API, as a target's setting wants it."""
        return self._emulator.base_url

    @property
    def account_id(self) -> str:
        """The account in the paths."""
        return self._emulator.account_id

    @property
    def token(self) -> str:
        """What requests must carry."""
        return self._emulator.token

    @property
    def url(self) -> str:
        """Of the account's workflows: ``…/accounts/ID/workflows``."""
        return f"{self.base_url}/accounts/{self.account_id}/workflows"

    @property
    def headers(self) -> Mapping[str, str]:
        """What a request needs besides its body."""
        return {"authorization": f"Bearer {self.token}", "content-type": "application/json"}

    @property
    def records(self) -> list[Record]:
        """What it was asked and what it answered, so far."""
        return self._call(lambda: list(self._emulator.journal.records))

    def summary(self) -> Mapping[str, Any]:
        """Counts of requests, answers, faults and instances."""
        return self._call(self._emulator.application.summary)

    def instance(self, workflow: str, instance_id: str) -> Instance | None:
        """One instance as it is now; None when there is none."""
        from bridge.emulator.answers import Refused  # noqa: PLC0415  only for those who use it

        def find() -> Instance | None:
            try:
                return self._emulator.instance(workflow, instance_id)
            except Refused:
                return None

        return self._call(find)

    def fault(self, **fields: Any) -> None:  # noqa: ANN401  the fields of a fault
        """Make something go wrong from now on: the fields of ``POST /emulator/faults``. Raises ValueError."""
        self._call(lambda: self._emulator.fault(**fields))

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._call(self._emulator.clear_faults)

    def advance(self, seconds: float) -> None:
        """Its clock jumps forward."""
        self._call(lambda: self._emulator.advance(seconds))

    def _call(self, function: Callable[[], _Result]) -> _Result:
        """In its own thread while it runs; afterwards nobody else is there to disturb."""
        if not self._thread.is_alive():
            return function()

        async def called() -> _Result:
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def workflows_emulator_settings() -> Mapping[str, Any] | None:
    """What the emulator is told; a test suite overrides it in its conftest.py. None: every workflow completes."""
    return None


@pytest.fixture
def workflows_emulator(workflows_emulator_settings: Mapping[str, Any] | None) -> Iterator[RunningEmulator]:
    """A Workflows API of this test's own: see the README of ``bridge/emulator``."""
    from bridge.emulator.settings import EmulatorSettings  # noqa: PLC0415  only for those who use it

    with RunningEmulator(EmulatorSettings.model_validate(workflows_emulator_settings or {})) as emulator:
        yield emulator
