"""Which service and which process metrics say they come from."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from slotel.export.resource import ProcessResource, process_resource


def test_the_tracer_provider_goes_first(monkeypatch):
    """Spans and metrics of one process carry one resource."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")
    resource = Resource.create({"service.name": "from-provider", "team": "assist"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    found = process_resource("from-argument", provider=provider)
    assert found.attributes == resource.attributes


def test_the_environment_goes_before_the_argument(monkeypatch):
    """Whoever deploys has the last word over whoever writes."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=assist")
    found = process_resource("from-argument").attributes
    assert found["service.name"] == "from-environment"
    assert found["team"] == "assist"


def test_the_argument_fills_in_for_a_name_that_nobody_gave():
    """Also for a tracer provider that has no name."""
    assert process_resource("mine").attributes["service.name"] == "mine"
    provider = TracerProvider(shutdown_on_exit=False)
    assert process_resource("mine", provider=provider).attributes["service.name"] == "mine"
    assert str(process_resource().attributes["service.name"]).startswith("unknown_service")


def test_a_process_has_one_identity():
    """The resource is read once, and an instance id is added where there is none."""
    resource = ProcessResource(lambda: Resource({"service.name": "bot"}))
    assert resource() is resource()
    assert resource().attributes["service.instance.id"]


def test_an_identity_that_the_user_chose_stays():
    """In the process that it was chosen for."""
    resource = ProcessResource(lambda: Resource({"service.instance.id": "worker-7"}))
    assert resource().attributes["service.instance.id"] == "worker-7"


def test_a_forked_child_gets_an_identity_of_its_own(monkeypatch):
    """Also where the user chose the parent's and it was never read before the fork."""
    read = ProcessResource(lambda: Resource({"service.instance.id": "worker-7"}))
    unread = ProcessResource(lambda: Resource({"service.instance.id": "worker-7"}))
    read()
    monkeypatch.setattr("os.getpid", lambda: -42)
    assert read().attributes["service.instance.id"] != "worker-7"
    assert unread().attributes == read().attributes
