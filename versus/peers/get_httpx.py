"""GETs by tasks that share a client of httpx: as many a second as come in."""

import asyncio
import sys
import time

import httpx

url, total, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def work(client, count):
    for _ in range(count):
        response = await client.get(url)
        response.raise_for_status()


async def main():
    shares = [total // workers + (number < total % workers) for number in range(workers)]
    limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
    async with httpx.AsyncClient(limits=limits) as client:
        started = time.perf_counter()
        await asyncio.gather(*(work(client, share) for share in shares))
        print(total / (time.perf_counter() - started))


asyncio.run(main())
