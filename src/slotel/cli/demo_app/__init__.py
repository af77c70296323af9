"""The support assistant behind `slotel demo`: its documents, model server, receiver and tables."""
