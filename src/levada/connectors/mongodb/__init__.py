"""MongoDB: connection, source, sink, and the embedded server."""
