"""What the Workflows API answers to what, as one table; each row names where the fact is from.

Every case runs on fresh instance ids: ``{a}``, ``{b}``, ``{c}`` in paths, bodies and expectations stand for them. The
workflows are ``echo`` (completes at once), ``wait`` (completes on an event "go") and ``fails``.
"""

from __future__ import annotations

from tests.cloudflare.case import (
    BODY,
    ENDED,
    EXISTS,
    NO_INSTANCE,
    NO_WORKFLOW,
    NOT_RUNNING,
    ROUTE,
    TOKEN_FORM,
    TOKEN_WRONG,
    Case,
    Sent,
    batch,
    change,
    event,
    get,
    make,
)
from tests.cloudflare.shapes import ABSENT, NUMBER, TIME, UUID

SOURCES = {
    "REFERENCE": "https://developers.cloudflare.com/api/resources/workflows/subresources/instances/",
    "SDK": "PyPI cloudflare 5.9.0, cloudflare/types/workflows",
    "OPENAPI": "https://github.com/cloudflare/api-schemas, operations wor-*",
    "WORKERS": "https://developers.cloudflare.com/workflows/build/workers-api/",
    "EVENTS": "https://developers.cloudflare.com/workflows/build/events-and-parameters/",
    "LIMITS": "https://developers.cloudflare.com/workflows/reference/limits/",
    "LIVE": "https://github.com/alchemy-run/distilled, packages/cloudflare: codes that its tests met on the live API",
    "ENGINE": "seen on the open engine (workerd); production's answer is not known",
    "ASSUMED": "no source; the likeliest answer",
}

IDS = {"version_id": UUID, "workflow_id": UUID}
CREATED = {"status": "queued", **IDS}
ROW = {**IDS, "status": str, "created_on": TIME, "modified_on": TIME, "trigger_source": "api"}

WRONG = "wrong"
ACCESS = [
    Case("no token", "SDK", Sent("GET", "echo/instances", token=None), TOKEN_FORM),
    Case("wrong token", "REFERENCE", Sent("GET", "echo/instances", token=WRONG), TOKEN_WRONG),
    Case(
        "foreign account",
        "LIVE",
        Sent("GET", "echo/instances", account="ffffffffffffffffffffffffffffffff"),
        answered=ROUTE,
    ),
    Case("no such path", "LIVE", Sent("GET", "echo/instances/{a}/nothing"), answered=ROUTE),
    Case("no such method", "ASSUMED", Sent("PUT", "echo/instances", {}), answered=ROUTE),
]

CREATE = [
    Case("create", "REFERENCE", make("echo", "{a}", {"x": 1}), result={"id": "{a}", **CREATED}),
    Case("create without an id", "SDK", Sent("POST", "echo/instances", {"params": 1}), result={"id": str, **CREATED}),
    Case("create without params", "LIVE", make("echo", "{a}"), result={"id": "{a}", **CREATED}),
    Case(
        "create with retention",
        "OPENAPI",
        Sent(
            "POST", "echo/instances", {"instance_retention": {"success_retention": "3 days", "error_retention": 60000}}
        ),
        result={"id": str, **CREATED},
    ),
    Case("create, id used", "WORKERS", make("echo", "{a}"), EXISTS, given=(make("echo", "{a}"),)),
    Case(
        "create, used id of another workflow", "WORKERS", make("wait", "{a}"), given=(make("echo", "{a}"),), result=dict
    ),
    Case("create, no body", "LIVE", Sent("POST", "echo/instances"), answered=BODY),
    Case("create, not JSON", "LIVE", Sent("POST", "echo/instances", b"{"), answered=BODY),
    Case("create, not an object", "OPENAPI", Sent("POST", "echo/instances", [1]), answered=BODY),
    Case("create, id with a space", "OPENAPI", make("echo", "a b"), answered=BODY),
    Case("create, id begins with a dash", "OPENAPI", make("echo", "-a"), answered=BODY),
    Case("create, id of 101 characters", "LIMITS", make("echo", "a" * 101), answered=BODY),
    Case("create, id is a number", "OPENAPI", Sent("POST", "echo/instances", {"instance_id": 7}), answered=BODY),
    Case("create, id is reserved", "SDK", make("echo", "cf_" + "0" * 64), answered=BODY),
    Case("create, params over 1 MiB", "LIMITS", make("echo", "{a}", "x" * (1 << 20)), answered=BODY),
    Case(
        "create, retention is no duration",
        "OPENAPI",
        Sent("POST", "echo/instances", {"instance_retention": {"success_retention": "soon"}}),
        answered=BODY,
    ),
    Case("create, no such workflow", "LIVE", make("nothing", "{a}"), answered=NO_WORKFLOW),
    Case("create, no body and no such workflow", "LIVE", Sent("POST", "nothing/instances"), answered=BODY),
]

BATCH = [
    Case(
        "batch", "REFERENCE", batch("echo", "{a}", "{b}"), result=[{"id": "{a}", **CREATED}, {"id": "{b}", **CREATED}]
    ),
    Case(
        "batch, one id used",
        "WORKERS",
        batch("echo", "{a}", "{b}"),
        result=[{"id": "{b}"}],
        given=(make("echo", "{a}"),),
    ),
    Case("batch, all ids used", "WORKERS", batch("echo", "{a}"), result=[], given=(make("echo", "{a}"),)),
    Case("batch, an id repeats", "WORKERS", batch("echo", "{a}", "{a}", "{b}"), result=[{"id": "{a}"}, {"id": "{b}"}]),
    Case("batch, one id invalid", "WORKERS", batch("echo", "{a}", "no good"), answered=BODY),
    Case("batch of 100", "OPENAPI", batch("echo", *(f"{{a}}-{n}" for n in range(100))), result=[{"id": str}] * 100),
    Case("batch of 101", "OPENAPI", batch("echo", *(f"{{a}}-{n}" for n in range(101))), answered=BODY),
    Case("batch, empty", "LIVE", batch("echo"), answered=BODY),
    Case("batch, an object", "SDK", Sent("POST", "echo/instances/batch", {"instances": []}), answered=BODY),
    Case("batch, no body", "LIVE", Sent("POST", "echo/instances/batch"), answered=BODY),
    Case("batch, no such workflow", "LIVE", batch("nothing", "{a}"), answered=NO_WORKFLOW),
]

GET = [
    Case(
        "get, complete",
        "REFERENCE",
        get("echo", "{a}"),
        result={
            "status": "complete",
            "success": True,
            "params": {"x": 1},
            "trigger": {"source": "api"},
            "versionId": UUID,
            "queued": TIME,
            "start": TIME,
            "end": TIME,
            "error": None,
            "output": str,
            "step_count": 1,
            "steps": [{"type": "step", "name": str, "success": True}],
        },
        given=(make("echo", "{a}", {"x": 1}),),
        settles=True,
    ),
    Case(
        "get, errored",
        "REFERENCE",
        get("fails", "{a}"),
        result={"status": "errored", "success": False, "error": {"name": str, "message": str}, "output": None},
        given=(make("fails", "{a}"),),
        settles=True,
    ),
    Case(
        "get, waiting",
        "REFERENCE",
        get("wait", "{a}"),
        result={"status": "waiting", "success": None, "end": None, "output": None},
        given=(make("wait", "{a}"),),
        settles=True,
    ),
    Case(
        "get, simple",
        "SDK",
        get("echo", "{a}", "?simple=true"),
        result={"status": str, "step_count": NUMBER, "steps": ABSENT},
        given=(make("echo", "{a}"),),
    ),
    Case("get, no such instance", "LIVE", get("echo", "{a}"), answered=NO_INSTANCE),
    Case("get, of another workflow", "LIVE", get("wait", "{a}"), given=(make("echo", "{a}"),), answered=NO_INSTANCE),
    Case("get, no such workflow", "LIVE", get("nothing", "{a}"), answered=NO_WORKFLOW),
]

EVENT = [
    Case("event", "SDK", event("{a}"), result={"instanceId": "{a}", "timestamp": TIME}, given=(make("wait", "{a}"),)),
    Case(
        "event, awaited",
        "EVENTS",
        get("wait", "{a}"),
        result={"status": "complete", "success": True, "output": str},
        given=(make("wait", "{a}"), event("{a}")),
        settles=True,
    ),
    Case(
        "event of another type is kept",
        "EVENTS",
        get("wait", "{a}"),
        result={"status": "waiting"},
        given=(make("wait", "{a}"), event("{a}", "other")),
        settles=True,
    ),
    Case(
        "event while paused waits for resume",
        "ENGINE",
        get("wait", "{a}"),
        result={"status": "complete"},
        given=(make("wait", "{a}"), change("wait", "{a}", "pause"), event("{a}"), change("wait", "{a}", "resume")),
        settles=True,
    ),
    Case(
        "event for an instance that has ended",  # that it is refused is documented, the status and code are not
        "WORKERS",
        event("{a}"),
        NOT_RUNNING,
        given=(make("wait", "{a}"), change("wait", "{a}", "terminate")),
    ),
    Case("event, no body", "LIVE", event("{a}", body=b""), given=(make("wait", "{a}"),), answered=BODY),
    Case("event, no body and no such workflow", "LIVE", Sent("POST", "nothing/instances/x/events/go"), answered=BODY),
    Case("event, type with a space", "OPENAPI", event("{a}", "a%20b"), given=(make("wait", "{a}"),), answered=BODY),
    Case(
        "event, type of 101 characters", "OPENAPI", event("{a}", "a" * 101), given=(make("wait", "{a}"),), answered=BODY
    ),
    Case(
        "event, payload over 1 MiB",
        "LIMITS",
        event("{a}", body="x" * (1 << 20)),
        given=(make("wait", "{a}"),),
        answered=BODY,
    ),
    Case("event, no such instance", "LIVE", event("{a}"), answered=NO_INSTANCE),
    Case("event, no such workflow", "LIVE", Sent("POST", "nothing/instances/x/events/go", {}), answered=NO_WORKFLOW),
]

WAITING = (make("wait", "{a}"),)
TERMINATED = (*WAITING, change("wait", "{a}", "terminate"))
STATUS = [
    Case("pause", "SDK", change("wait", "{a}", "pause"), result={"status": "paused", "timestamp": TIME}, given=WAITING),
    Case(
        "resume",
        "SDK",
        change("wait", "{a}", "resume"),
        result={"status": "waiting", "timestamp": TIME},
        given=(*WAITING, change("wait", "{a}", "pause")),
    ),
    Case("terminate", "SDK", change("wait", "{a}", "terminate"), result={"status": "terminated"}, given=WAITING),
    Case(
        "terminate with rollback",
        "SDK",
        change("wait", "{a}", {"status": "terminate", "rollback": False}),
        result={"status": "terminated"},
        given=WAITING,
    ),
    Case("terminate, ended", "OPENAPI", change("wait", "{a}", "terminate"), ENDED, given=TERMINATED),
    Case("pause, ended", "ENGINE", change("wait", "{a}", "pause"), result={"status": "terminated"}, given=TERMINATED),
    Case("resume, ended", "ENGINE", change("wait", "{a}", "resume"), result={"status": "terminated"}, given=TERMINATED),
    Case("restart", "SDK", change("wait", "{a}", "restart"), result={"status": "waiting"}, given=TERMINATED),
    Case(
        "restart forgets events",
        "ENGINE",
        get("wait", "{a}"),
        result={"status": "waiting"},
        given=(*WAITING, change("wait", "{a}", "pause"), event("{a}"), change("wait", "{a}", "restart")),
        settles=True,
    ),
    Case(
        "restart from a step that is not there",
        "ASSUMED",
        change("wait", "{a}", {"status": "restart", "from": {"name": "nothing"}}),
        given=WAITING,
        answered=BODY,
    ),
    Case("status, no such word", "SDK", change("wait", "{a}", "stop"), given=WAITING, answered=BODY),
    Case(
        "status, not an object", "SDK", Sent("PATCH", "wait/instances/{a}/status", b"[]"), given=WAITING, answered=BODY
    ),
    Case(
        "status, rollback without terminate",
        "SDK",
        change("wait", "{a}", {"status": "pause", "rollback": True}),
        given=WAITING,
        answered=BODY,
    ),
    Case("status, no such instance", "LIVE", change("wait", "{a}", "pause"), answered=NO_INSTANCE),
    Case("status, no such workflow", "LIVE", change("nothing", "{a}", "pause"), answered=NO_WORKFLOW),
]

LIST = [
    Case(
        "list, newest first",
        "SDK",
        Sent("GET", "echo/instances?per_page=2"),
        result=[{"id": "{b}", **ROW}, {"id": "{a}", **ROW}],
        info={"count": 2, "per_page": 2, "total_count": int, "cursor": str},
        given=(make("echo", "{c}"), make("echo", "{a}"), make("echo", "{b}")),
    ),
    Case(
        "list by status",
        "SDK",
        Sent("GET", "fails/instances?per_page=1&status=errored"),
        result=[{"id": "{a}", "status": "errored"}],
        given=(make("fails", "{a}"),),
        settles=True,
    ),
    Case("list of a time to come", "SDK", Sent("GET", "echo/instances?date_start=2999-01-01T00:00:00.000Z"), result=[]),
    Case("list of a time long gone", "SDK", Sent("GET", "echo/instances?date_end=2001-01-01T00:00:00.000Z"), result=[]),
    Case("list, pages too large", "OPENAPI", Sent("GET", "echo/instances?per_page=101"), answered=BODY),
    Case("list, pages too small", "OPENAPI", Sent("GET", "echo/instances?per_page=0"), answered=BODY),
    Case("list, page and cursor", "OPENAPI", Sent("GET", "echo/instances?page=1&cursor=1"), answered=BODY),
    Case("list, no such status", "SDK", Sent("GET", "echo/instances?status=fine"), answered=BODY),
    Case("list, no such workflow", "LIVE", Sent("GET", "nothing/instances"), answered=NO_WORKFLOW),
]

CASES = (*ACCESS, *CREATE, *BATCH, *GET, *EVENT, *STATUS, *LIST)
