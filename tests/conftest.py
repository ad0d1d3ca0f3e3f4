"""Fixtures that every test may use; the real services bring their own."""

pytest_plugins = ["tests.services.kafka", "tests.services.rabbitmq", "tests.services.workerd"]
