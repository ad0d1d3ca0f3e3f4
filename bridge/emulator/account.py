"""The emulated account: workflows by name, and in each its instances by id and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from bridge.emulator.answers import Refusal, Refused, timestamp
from bridge.emulator.instance import Instance
from bridge.emulator.quota import CreationRates
from bridge.emulator.settings import ANY
from bridge.emulator.timeline import Room, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.emulator.behaviour import Retention, WorkflowSettings
    from bridge.emulator.settings import EmulatorSettings

SWEEP_MS = 60_000  # how often what has expired is looked for; until then it only takes memory


class Filter(NamedTuple):
    """What a list is narrowed to; None leaves it open. Times as the API writes them, which sorts as text."""

    status: str | None = None
    date_start: str | None = None
    date_end: str | None = None

    def matches(self, instance: Instance) -> bool:
        """Whether the instance belongs into the list."""
        if self.status is not None and instance.status != self.status:
            return False
        if self.date_start is None and self.date_end is None:
            return True
        created = timestamp(instance.created_ms) or ""
        return (self.date_start is None or created >= self.date_start) and (
            self.date_end is None or created <= self.date_end
        )


class Creation(NamedTuple):
    """What a create asks for."""

    instance_id: str | None  # None: one is made up
    params: bytes  # JSON
    retention: Retention | None  # None: the workflow's


class Workflow:
    """One workflow and its instances. ``move`` comes first, then anything else at that time."""

    def __init__(self, name: str, settings: WorkflowSettings, account: Room, list_lag_ms: int) -> None:
        self.name = name
        self.plan = settings.plan
        self.workflow_id = str(uuid5(NAMESPACE_URL, name))
        self.version_id = str(uuid5(NAMESPACE_URL, f"{name}/1"))
        self.instances: dict[str, Instance] = {}
        self.timeline = Timeline(Room(settings.concurrency), account)
        self._order: list[Instance | None] = []  # by number; None: gone
        self._list_lag_ms = list_lag_ms
        self._swept_ms = 0

    @property
    def order(self) -> list[Instance]:
        """All that there are, in order of creation."""
        return [instance for instance in self._order if instance is not None]

    def move(self, now_ms: int) -> None:
        """Everything that is due happens; what has expired is forgotten now and then."""
        self.timeline.move(now_ms)
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now_ms
            for instance in [one for one in self.instances.values() if one.expired(now_ms)]:
                self._forget(instance)

    def create(self, creation: Creation, now_ms: int) -> Instance | None:
        """A new instance, already on its way; None when the id is used."""
        number = len(self._order) + 1
        name, params, retention = creation
        if name is None:
            name = str(uuid5(NAMESPACE_URL, f"{self.name}/instance/{number}"))
        if (known := self.instances.get(name)) is not None:
            self.timeline.settle(known, now_ms)
            if not known.expired(now_ms):
                return None
            self._forget(known)
        instance = self.instances[name] = Instance(name, number, params, self.plan, now_ms, retention)
        self._order.append(instance)
        self.timeline.begin(instance, now_ms)
        return instance

    def get(self, instance_id: str, now_ms: int) -> Instance:
        """As it is now. Raises Refused when there is none, or none any more."""
        instance = self.instances.get(instance_id)
        if instance is not None:
            self.timeline.settle(instance, now_ms)
        if instance is None or instance.expired(now_ms):
            raise Refused(Refusal.INSTANCE)
        return instance

    def delete(self, instance: Instance) -> None:
        """Stop it and forget it; its id is free."""
        self.timeline.remove(instance)
        self._forget(instance)

    def created(self, instance: Instance) -> dict[str, Any]:
        """As the answer to a create shows it: the instance has not begun yet."""
        ids = {"version_id": self.version_id, "workflow_id": self.workflow_id}
        return {"id": instance.id, "status": "queued", **ids, "trigger_source": "api"}

    def listed(self, after: int | None, now_ms: int, *, newest_first: bool, only: Filter) -> Iterator[Instance]:
        """Instances in order of creation or its reverse, from behind number ``after``; the youngest not yet."""
        if newest_first:
            places = range((len(self._order) if after is None else after - 1) - 1, -1, -1)
        else:
            places = range(after or 0, len(self._order))
        youngest_ms = now_ms - self._list_lag_ms
        for place in places:
            instance = self._order[place] if place < len(self._order) else None
            if instance is None or instance.created_ms > youngest_ms:
                continue
            self.timeline.settle(instance, now_ms)
            if only.matches(instance) and not instance.expired(now_ms):
                yield instance

    def count(self, now_ms: int, only: Filter) -> int:
        """How many a list has in all."""
        return sum(1 for _ in self.listed(None, now_ms, newest_first=False, only=only))

    def statuses(self, now_ms: int) -> dict[str, int]:
        """How many instances there are by status, the youngest included."""
        counts: dict[str, int] = {}
        for instance in self.instances.values():
            self.timeline.settle(instance, now_ms)
            counts[instance.status] = counts.get(instance.status, 0) + 1
        return counts

    def _forget(self, instance: Instance) -> None:
        del self.instances[instance.id]
        self._order[instance.number - 1] = None


class Account:
    """All workflows. A name that was not declared exists if the settings say that every name does."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self.settings = settings
        self._creation = settings.creation
        self._rates = None if settings.creation is None else CreationRates(settings.creation)
        self._room = Room(settings.concurrency)
        self._list_lag_ms = int(settings.list_lag_seconds * 1000)
        self._any = settings.behaviours.get(ANY)
        self.workflows = {name: self._new(name, of) for name, of in settings.behaviours.items() if name != ANY}

    def _new(self, name: str, settings: WorkflowSettings) -> Workflow:
        return Workflow(name, settings, self._room, self._list_lag_ms)

    def workflow(self, name: str, now_ms: int | None = None) -> Workflow:
        """As it is now; without a time, as it was when it was last asked for. Raises Refused when there is none."""
        workflow = self.workflows.get(name)
        if workflow is None:
            if self._any is None:
                raise Refused(Refusal.WORKFLOW)
            workflow = self.workflows[name] = self._new(name, self._any)
        if now_ms is not None:
            workflow.move(now_ms)
        return workflow

    def admit(self, workflow: str, count: int, now_ms: int) -> None:
        """Let this many instances begin. Raises Refused when that would be too many at once."""
        if self._creation is None or self._rates is None:
            return
        if not self._rates.take(workflow, count, now_ms):
            raise Refused(self._creation.problem, self._creation.retry_after_seconds)
