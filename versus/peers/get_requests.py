"""GETs by threads, each with a session of requests: as many a second as come in."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import requests

url, total, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def work(count):
    with requests.Session() as session:
        for _ in range(count):
            response = session.get(url)
            response.raise_for_status()
            response.content


shares = [total // workers + (number < total % workers) for number in range(workers)]
started = time.perf_counter()
with ThreadPoolExecutor(workers) as pool:
    list(pool.map(work, shares))
print(total / (time.perf_counter() - started))
