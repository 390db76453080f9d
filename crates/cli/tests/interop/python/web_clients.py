"""Clients of HTTP as Python has them, at the site whose URL is given."""

import http.client
import sys
import urllib.error
import urllib.parse
import urllib.request

import requests

url = sys.argv[1]
text = b"here be dragons\n" * 1000

with urllib.request.urlopen(url + "/text.txt") as answer:
    assert answer.read() == text
    assert answer.headers.get_content_charset() == "utf-8"
try:
    urllib.request.urlopen(url + "/none")
    raise AssertionError("there is no such file")
except urllib.error.HTTPError as error:
    assert error.code == 404, error
print("urllib")

connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
for _ in range(3):
    connection.request("GET", "/text.txt", headers={"Range": "bytes=0-3"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (206, b"here"), answer.status
print("http.client")

session = requests.Session()
answer = session.get(url + "/text.txt")
assert answer.content == text and answer.headers["Content-Encoding"] in ("gzip", "deflate", "zstd", "br")
assert session.head(url + "/chart.bin").headers["Content-Length"] == "1048576"
listing = session.get(url + "/", headers={"Accept": "application/json"}).json()
assert "text.txt" in [entry["name"] for entry in listing["entries"]], listing
assert session.put(url + "/by-requests.txt", data=b"ahoy").status_code == 201
assert session.get(url + "/by-requests.txt").text == "ahoy"
assert session.post(url + "/log/", files={"file": ("a b.txt", b"ahoy")}).status_code == 201
assert session.get(url + "/log/a%20b.txt").text == "ahoy"
print("requests")
