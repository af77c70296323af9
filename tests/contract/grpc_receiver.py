"""An OTLP/gRPC receiver on loopback that hands what arrives to an OtlpReceiver."""

from __future__ import annotations

from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc

from slotel.cli.demo_app.receiver import METRICS, OtlpReceiver


class GrpcReceiver(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Listens on 127.0.0.1 on a port that the system chooses; a context manager.

    Args:
        receiver: Where metrics go.
    """

    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(self, self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def Export(self, request: Any, context: Any) -> Any:
        self._receiver.take(METRICS, request.SerializeToString())
        return metrics_service_pb2.ExportMetricsServiceResponse()

    def __enter__(self) -> GrpcReceiver:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
