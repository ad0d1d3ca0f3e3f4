"""The emulated account: workflows by name, and in each its instances by id and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from bridge.emulator.answers import Refusal, Refused, timestamp
from bridge.emulator.instance import Instance
from bridge.emulator.quota import CreationRates
from bridge.emulator.settings import ANY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bridge.emulator.quota import CreationSettings


class Filter(NamedTuple):
    """What a list is narrowed to; None leaves it open. Times as the API writes them, which sorts as text."""

    status: str | None = None
    date_start: str | None = None
    date_end: str | None = None

    def matches(self, instance: Instance) -> bool:
        """Whether the instance belongs into the list."""
        created = timestamp(instance.created_ms) or ""
        return (
            (self.status is None or instance.status == self.status)
            and (self.date_start is None or created >= self.date_start)
            and (self.date_end is None or created <= self.date_end)
        )


class Workflow:
    """One workflow and its instances. Ids are used for ever: nothing is forgotten while the emulator runs."""

    def __init__(self, name: str, behaviour: str) -> None:
        self.name = name
        self.behaviour = behaviour
        self.workflow_id = str(uuid5(NAMESPACE_URL, name))
        self.version_id = str(uuid5(NAMESPACE_URL, f"{name}/1"))
        self.instances: dict[str, Instance] = {}
        self.order: list[Instance] = []

    def create(self, instance_id: str | None, params: object, now_ms: int) -> Instance | None:
        """A new instance, already on its way; None when the id is used. Without an id it gets one."""
        number = len(self.order) + 1
        name = str(uuid5(NAMESPACE_URL, f"{self.name}/instance/{number}")) if instance_id is None else instance_id
        if name in self.instances:
            return None
        instance = Instance(name, number, params, self.behaviour, now_ms)
        self.instances[name] = instance
        self.order.append(instance)
        instance.run(now_ms)
        return instance

    def get(self, instance_id: str) -> Instance:
        """Raises Refused when there is none."""
        instance = self.instances.get(instance_id)
        if instance is None:
            raise Refused(Refusal.INSTANCE)
        return instance

    def created(self, instance: Instance) -> dict[str, Any]:
        """As the answer to a create shows it: the instance has not begun yet."""
        ids = {"version_id": self.version_id, "workflow_id": self.workflow_id}
        return {"id": instance.id, "status": "queued", **ids, "trigger_source": "api"}

    def listed(self, after: int | None, *, newest_first: bool, only: Filter) -> Iterable[Instance]:
        """Instances in order of creation or its reverse, from behind number ``after``."""
        if newest_first:
            rows: Iterable[Instance] = reversed(self.order[: len(self.order) if after is None else max(after - 1, 0)])
        else:
            rows = self.order[after or 0 :]
        return (row for row in rows if only.matches(row))

    def count(self, only: Filter) -> int:
        """How many match."""
        return len(self.order) if only == Filter() else sum(map(only.matches, self.order))


class Account:
    """All workflows. A name that was not declared exists if the settings say that every name does."""

    def __init__(
        self, workflows: Mapping[str, str], clock: Callable[[], int], creation: CreationSettings | None = None
    ) -> None:
        """clock: Unix milliseconds."""
        self.now_ms = clock
        self._creation = creation
        self._rates = None if creation is None else CreationRates(creation)
        self._any = workflows.get(ANY)
        self.workflows = {name: Workflow(name, behaviour) for name, behaviour in workflows.items() if name != ANY}

    def workflow(self, name: str) -> Workflow:
        """Raises Refused when there is none."""
        workflow = self.workflows.get(name)
        if workflow is None:
            if self._any is None:
                raise Refused(Refusal.WORKFLOW)
            workflow = self.workflows[name] = Workflow(name, self._any)
        return workflow

    def admit(self, workflow: str, count: int) -> None:
        """Let this many instances begin. Raises Refused when that would be too many at once."""
        if self._creation is None or self._rates is None:
            return
        if not self._rates.take(workflow, count, self.now_ms()):
            raise Refused(self._creation.problem, self._creation.retry_after_seconds)
