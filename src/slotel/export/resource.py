"""The resource that metrics carry: which service this is, and which of its processes."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    Resource,
    ServiceInstanceIdResourceDetector,
)

UNKNOWN_SERVICE = "unknown_service"


def process_resource(
    service: str | None = None, *, provider: trace.TracerProvider | None = None
) -> Resource:
    """Return the resource of this process.

    What the user's tracer provider carries goes first, so that spans and metrics agree; then come
    the OTEL_* variables, then `service`, which fills in for a name that nobody gave.

    Args:
        service: Name of the service; None leaves the SDK's `unknown_service`.
        provider: Tracer provider to ask; the global one when None.
    """
    asked = provider if provider is not None else trace.get_tracer_provider()
    carried = getattr(asked, "resource", None)
    resource = carried if isinstance(carried, Resource) else Resource.create()
    name = str(resource.attributes.get(SERVICE_NAME) or UNKNOWN_SERVICE)
    if service and name.startswith(UNKNOWN_SERVICE):
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    return with_identity(resource)


def with_identity(resource: Resource, *, taken: frozenset[str] = frozenset()) -> Resource:
    """Return the resource with a `service.instance.id` that no other process uses.

    Args:
        resource: What to start from; its own id stays when nobody else has it.
        taken: Ids of the processes that this one was forked from. One writer a stream: a child
            that kept its parent's id would mix its counters with the parent's.
    """
    own = resource.attributes.get(SERVICE_INSTANCE_ID)
    if own and str(own) not in taken:
        return resource
    # The SDK's own, so that the spans of a forked child carry the same id; new for each process.
    return resource.merge(ServiceInstanceIdResourceDetector().detect())


def instance_id(resource: Resource) -> str:
    """Return the `service.instance.id` of a resource; empty when it has none."""
    return str(resource.attributes.get(SERVICE_INSTANCE_ID) or "")
