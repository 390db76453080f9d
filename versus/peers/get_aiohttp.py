"""GETs by tasks that share a session of aiohttp: as many a second as come in."""

import asyncio
import sys
import time

import aiohttp

url, total, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def work(session, count):
    for _ in range(count):
        async with session.get(url) as response:
            response.raise_for_status()
            await response.read()


async def main():
    shares = [total // workers + (number < total % workers) for number in range(workers)]
    connector = aiohttp.TCPConnector(limit=workers)
    async with aiohttp.ClientSession(connector=connector) as session:
        started = time.perf_counter()
        await asyncio.gather(*(work(session, share) for share in shares))
        print(total / (time.perf_counter() - started))


asyncio.run(main())
