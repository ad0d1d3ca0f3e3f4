"""The text of a configuration to begin with, for ``workflow-bridge init``; every line says what it is for."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = "workflow-bridge.schema.json"  # beside the configuration, for editors
TOKEN: Final = "secrets/cloudflare-token"  # noqa: S105  a path

_HEAD = f"""\
# yaml-language-server: $schema=./{SCHEMA}
#
# {{title}} start workflows, and payments are events for them. What belongs to you is marked with <-.

targets:
  main:
    account_id: 023e105f4ecef8ad9ca31a8372d0c353 # <- your account
    api_token_file: {TOKEN} # <- may read and edit Workflows; read again when it is refused

sources:
"""

_SOURCES = {
    "kafka": """\
  orders:
    type: kafka
    bootstrap_servers: ["localhost:9092"] # <-
    topics: [shop.orders] # <-
    group_id: workflow-bridge
    # Where the broker wants them:
    # tls: {ca_file: secrets/kafka-ca.crt}
    # sasl: {mechanism: SCRAM-SHA-512, username: workflow-bridge, password_file: secrets/kafka-password}
    # One of three processes, each with its own outbox file, that keep the order of every lane among them:
    # assign: {index: 0, of: 3}
""",
    "rabbitmq": """\
  orders:
    type: rabbitmq
    url_file: secrets/amqp-url # <- amqps://user:password@rabbitmq:5671/vhost
    queue: workflow-bridge # <- has to be there; to have it made, bound to an exchange:
    # declare: {type: quorum}
    # bind: [{exchange: shop, routing_key: "order.*"}]
    identity: body-hash # for producers that set no message_id
""",
}

_OUTBOX = """
# Where calls wait until the API has them. {why}
outbox:
"""

_SQLITE = """\
  type: sqlite
  path: outbox.db # <- on a disk that outlives the process
"""

_MEMORY = """\
  type: memory

# It has nowhere to keep what cannot be delivered.
dead_letters:
  to:
"""

_LETTERS = {
    "kafka": """\
    type: kafka
    bootstrap_servers: ["localhost:9092"] # <-
    topic: workflow-bridge.dead-letters # <- has to be there
""",
    "rabbitmq": """\
    type: rabbitmq
    url_file: secrets/amqp-url
    exchange: "" # <- the default exchange, to the queue of this name, which has to be there:
    routing_key: workflow-bridge.dead-letters
""",
}

_WHY = {
    "sqlite": "A message is acknowledged when its calls are on disk.",
    "memory": "A message is acknowledged when its calls are delivered.",
}

_RULES = """
# Every rule whose condition is true fires, in this order. Conditions and ${…} are CEL: https://cel.dev
rules:
  - name: order-created
    when: body.type == "order.created" # <- a field that is not there makes a condition false
    create:
      workflow: fulfil-order # <-
      id: "order-${body.order_id}" # a used id is skipped, so a message that comes twice starts nothing twice
      params: "${body}" # the body as it came

  - name: payment-received
    when: body.type == "payment.received" # <-
    event:
      workflow: fulfil-order
      id: "order-${body.order_id}"
      type: payment-received # what the workflow waits for
      payload: {amount: "${body.amount}"}
      if_missing: wait 15m # the payment may come before the order

# Run by `workflow-bridge test`, before a rule meets its first message.
tests:
  - name: a new order starts its workflow
    message: {source: orders, body: {type: order.created, order_id: 17, total: 12.5}}
    expect:
      - create: {workflow: fulfil-order, id: order-17, params: {type: order.created, order_id: 17, total: 12.5}}

  - name: a payment goes to the workflow of its order
    message: {source: orders, body: {type: payment.received, order_id: 17, amount: 12.5}}
    expect:
      - event: {workflow: fulfil-order, id: order-17, type: payment-received, payload: {amount: 12.5}}

  - name: anything else does nothing
    message: {source: orders, body: {type: order.shipped, order_id: 17}}
    expect: unmatched
"""


def starter(broker: str, outbox: str) -> str:
    """A whole configuration. broker: "kafka" or "rabbitmq". outbox: "sqlite" or "memory"."""
    kept = _SQLITE if outbox == "sqlite" else _MEMORY + _LETTERS[broker]
    title = "Orders from Kafka" if broker == "kafka" else "Orders from RabbitMQ"
    return "".join([_HEAD.format(title=title), _SOURCES[broker], _OUTBOX.format(why=_WHY[outbox]), kept, _RULES])


def secrets(broker: str) -> dict[str, str]:
    """The files that a configuration names and that do not come with it, with what belongs into each."""
    needed = {TOKEN: "an API token that may read and edit Workflows"}
    if broker == "rabbitmq":
        needed["secrets/amqp-url"] = "the broker's address, such as amqps://user:password@rabbitmq:5671/vhost"
    return needed
