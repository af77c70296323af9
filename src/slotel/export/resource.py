"""The resource that metrics carry: which service this is, and which of its processes."""

from __future__ import annotations

import os
from collections.abc import Callable

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
    resource = carried if isinstance(carried, Resource) else sdk_resource()
    name = str(resource.attributes.get(SERVICE_NAME) or UNKNOWN_SERVICE)
    if service and name.startswith(UNKNOWN_SERVICE):
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    return resource


def sdk_resource() -> Resource:
    """Return what the SDK finds out about this process by itself.

    It asks its detectors on threads, which an interpreter that is about to end does not start any
    more. The last answer serves then, so whoever wants to export at the end asks once before.
    """
    global _last  # noqa: PLW0603  # replaced whole
    try:
        _last = Resource.create()
    except RuntimeError:
        if _last is None:
            raise
    return _last


_last: Resource | None = None


class ProcessResource:
    """The resource of the current process, read at the first call and again in a forked child.

    One writer a stream: a child that kept its parent's `service.instance.id` would mix its counters
    with the parent's. So a child takes the id that the SDK gives to it, and to its spans, also
    where the user had chosen one for the parent. Any thread may call.

    Args:
        read: Returns a resource; `process_resource` without a service when None.
    """

    def __init__(self, read: Callable[[], Resource] | None = None) -> None:
        self._read = read if read is not None else process_resource
        self._born = os.getpid()
        self._known: tuple[int, Resource] | None = None

    def __call__(self) -> Resource:
        """Return the resource, the same one for the life of the process."""
        process = os.getpid()
        if self._known is None or self._known[0] != process:
            resource = self._read()
            if process != self._born or not resource.attributes.get(SERVICE_INSTANCE_ID):
                resource = resource.merge(ServiceInstanceIdResourceDetector().detect())
            self._known = (process, resource)
        return self._known[1]
