"""Serves one route that answers with JSON: json_aiohttp.py HOST:PORT."""

import sys

import uvloop
from aiohttp import web


async def answer(request):
    return web.json_response({"message": "Hello, World!"})


host, port = sys.argv[1].rsplit(":", 1)
app = web.Application()
app.router.add_get("/json", answer)
uvloop.install()
web.run_app(app, host=host, port=int(port), access_log=None, print=None)
