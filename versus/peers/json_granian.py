"""An application of RSGI with one route that answers with JSON, for granian."""

import json


async def app(scope, protocol):
    if scope.path != "/json":
        protocol.response_empty(404, [])
        return
    body = json.dumps({"message": "Hello, World!"})
    protocol.response_str(200, [("content-type", "application/json")], body)
