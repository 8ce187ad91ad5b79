"""Downloads from a server on this machine: resumed, checked, from the next mirror, whole or absent."""

import hashlib
import threading
import urllib.request
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from chemscale.data import download as module
from chemscale.data.sources import fetch, registry
from chemscale.errors import ChemscaleError

download = partial(module.download, allow_http=True)  # the server on this machine has no certificate
CONTENT = b"CCO\n" * 5000
RIGHT = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "md5": hashlib.md5(CONTENT).hexdigest()}
ENTRY = {
    "arm": "language",
    "source": "download",
    "format": "lines",
    "validation": 1,
    "test": 1,
    "seed": 0,
    "max_tokens": 64,
    "max_failure_share": 0.1,
    "allow_http": True,
}


@pytest.fixture
def server(monkeypatch):
    """`files` by path; `breaks`: after how many bytes an answer ends early; `requests` seen, as (path, range)."""
    monkeypatch.setattr(module, "PAUSE", 0.01)
    state = SimpleNamespace(files={}, breaks={}, requests=[], ranges=True, status=None, moved={}, tags={})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers["Range"]
            state.requests.append((self.path, asked))
            if self.path in state.moved:
                self.send_response(302)
                self.send_header("Location", state.moved[self.path])
                self.send_header("Content-Length", "0")
                return self.end_headers()
            tag = state.tags.get(self.path)
            if self.headers["If-Range"] not in (None, tag):
                asked = None
            if self.path not in state.files:
                return self.send_error(404)
            content, first = state.files[self.path], 0
            if asked and state.ranges:
                first = int(asked.removeprefix("bytes=").removesuffix("-"))
                if first >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
            self.send_response(state.status or (206 if asked and state.ranges else 200))
            if asked and state.ranges:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - first))
            if tag:
                self.send_header("ETag", tag)
            self.end_headers()
            end = first + state.breaks[self.path] if self.path in state.breaks else None
            self.wfile.write(content[first:end])

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        state.url = f"http://127.0.0.1:{http.server_port}"
        yield state
        http.shutdown()


def test_a_file_comes_whole_and_checked(server, tmp_path):
    server.files["/a.smi"] = CONTENT
    download([server.url + "/a.smi"], tmp_path / "new" / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "new" / "a.smi").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.smi"]


def test_a_broken_transfer_goes_on_where_it_broke_off(server, tmp_path):
    server.files["/a.smi"], server.breaks["/a.smi"] = CONTENT, 8000
    download([server.url + "/a.smi"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "a.smi").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=8000-", "bytes=16000-"]


def test_the_next_call_goes_on_with_what_is_left(server, tmp_path):
    (tmp_path / "a.smi.part").write_bytes(CONTENT[:12345])
    server.files["/a.smi"] = CONTENT
    download([server.url + "/a.smi"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "a.smi").read_bytes() == CONTENT
    assert server.requests == [("/a.smi", "bytes=12345-")]


def test_a_complete_part_is_only_checked_and_renamed(server, tmp_path):
    (tmp_path / "a.smi.part").write_bytes(CONTENT)
    server.files["/a.smi"] = CONTENT
    download([server.url + "/a.smi"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "a.smi").read_bytes() == CONTENT and len(server.requests) == 1


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "a.smi.part").write_bytes(CONTENT + b"more")
    server.files["/a.smi"] = CONTENT
    download([server.url + "/a.smi"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "a.smi").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path):
    (tmp_path / "a.smi.part").write_bytes(b"something else")
    server.files["/a.smi"], server.ranges = CONTENT, False
    download([server.url + "/a.smi"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "a.smi").read_bytes() == CONTENT


def test_a_transfer_that_never_completes_is_given_up_and_kept(server, tmp_path):
    server.files["/a.smi"], server.breaks["/a.smi"] = CONTENT, 10
    with pytest.raises(ChemscaleError, match="broke off after 40 of 20,000 bytes, 4 times"):
        download([server.url + "/a.smi"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "a.smi.part").read_bytes() == CONTENT[:40]
    assert not (tmp_path / "a.smi").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-1] + b"X", "its sha256 is [0-9a-f]{64} where " + RIGHT["sha256"] + " is right"),
        (CONTENT + b"X", "it has 20,001 bytes where 20,000 are right"),
        (b"", "it is empty"),
    ],
)
def test_a_wrong_file_is_named_and_removed(server, tmp_path, content, message):
    server.files["/a.smi"] = content
    with pytest.raises(ChemscaleError, match=f"{server.url}/a.smi: the wrong file, removed: {message}"):
        download([server.url + "/a.smi"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert list(tmp_path.iterdir()) == []


def test_md5_is_checked_where_that_is_all_one_has(server, tmp_path):
    server.files["/a.smi"] = CONTENT[:-1] + b"X"
    with pytest.raises(ChemscaleError, match="its md5 is"):
        download([server.url + "/a.smi"], tmp_path / "a.smi", None, {"md5": RIGHT["md5"]})


def test_mirrors_are_tried_in_order(server, tmp_path):
    server.files |= {"/wrong": b"<html>", "/right": CONTENT, "/unasked": CONTENT}
    urls = [server.url + path for path in ("/missing", "/wrong", "/right", "/unasked")]
    download(urls, tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "a.smi").read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/missing", "/wrong", "/right"]


def test_every_address_that_failed_is_listed(server, tmp_path):
    server.files["/wrong"] = b"<html>"
    urls = [server.url + "/missing", "http://127.0.0.1:1/closed", "https://[bad", server.url + "/wrong"]
    with pytest.raises(ChemscaleError) as error:
        download(urls, tmp_path / "a.smi", len(CONTENT), RIGHT)
    lines = str(error.value).splitlines()
    for url, problem, line in zip(
        urls, ["HTTP 404", "refused", "not an address", "wrong file"], lines[1:5], strict=True
    ):
        assert url in line and problem in line


def test_an_answer_that_is_not_the_file_is_not_taken_for_it(server, tmp_path):
    server.files["/a.smi"], server.status = CONTENT, 202  # figshare's challenge page
    with pytest.raises(ChemscaleError, match="HTTP 202 instead of the file"):
        download([server.url + "/a.smi"], tmp_path / "a.smi")


def test_a_file_that_is_right_already_is_not_fetched_again(server, tmp_path):
    (tmp_path / "a.smi").write_bytes(CONTENT)
    download([server.url + "/a.smi"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert server.requests == []


def test_a_file_that_is_wrong_is_replaced(server, tmp_path):
    (tmp_path / "a.smi").write_bytes(b"old")
    server.files["/a.smi"] = CONTENT
    download([server.url + "/a.smi"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "a.smi").read_bytes() == CONTENT


def test_fetch_records_the_file_and_uses_the_mirrors(server, tmp_path):
    server.files["/b/a.smi"] = CONTENT
    entry = ENTRY | {"url": server.url + "/a.smi", "mirrors": [server.url + "/b/a.smi"], "bytes": 20000, **RIGHT}
    record = fetch("remote", entry, tmp_path)
    assert (record["file"], record["bytes"], record["sha256"]) == ("a.smi", 20000, RIGHT["sha256"])


def test_the_first_download_pins_what_the_entry_leaves_open(server, tmp_path, caplog):
    server.files["/a.smi"] = CONTENT
    entry = ENTRY | {"url": server.url + "/a.smi", "bytes": None, "sha256": None}
    with caplog.at_level("INFO", "chemscale"):
        assert fetch("remote", entry, tmp_path)["sha256"] == RIGHT["sha256"]
    assert RIGHT["sha256"] in caplog.text
    (tmp_path / "a.smi").unlink()
    server.files["/a.smi"] = CONTENT + b"CC\n"
    with pytest.raises(ChemscaleError, match=f"where {RIGHT['sha256']} is right"):
        fetch("remote", entry, tmp_path)
    # another address is another file
    server.files["/b.smi"] = CONTENT + b"CC\n"
    assert fetch("remote", entry | {"url": server.url + "/b.smi"}, tmp_path)["bytes"] == 20003


def test_geometries_are_fetched_by_address_alone(server, tmp_path):
    server.files["/files/18112775"] = CONTENT
    entry = registry()["ani-1x"] | {"url": server.url + "/files/18112775", "md5": RIGHT["md5"], "allow_http": True}
    assert fetch("ani-1x", entry, tmp_path)["file"] == "18112775"
    del entry["url"]
    with pytest.raises(ChemscaleError, match=r"ani-1x: url: missing; add it \(address of the file\)"):
        fetch("ani-1x", entry, tmp_path)


@pytest.mark.parametrize(
    "url", ["http://example.org/a.smi", "ftp://example.org/a.smi", "file:/etc/hostname", "/etc/hostname"]
)
def test_nothing_comes_over_an_insecure_address(tmp_path, url):
    with pytest.raises(ChemscaleError, match=r"not https; give an https address, or set `allow_http: true`"):
        module.download([url], tmp_path / "a.smi")
    entry = {key: value for key, value in ENTRY.items() if key != "allow_http"}
    with pytest.raises(ChemscaleError, match=r"remote: url = '.*': not https; give an https address"):
        fetch("remote", entry | {"url": url}, tmp_path)
    with pytest.raises(ChemscaleError, match=r"remote: mirrors = \['.*'\]: not https"):
        fetch("remote", entry | {"url": "https://example.org/a.smi", "mirrors": [url]}, tmp_path)


def test_no_redirect_leaves_https(server, tmp_path):
    redirects = module._Redirects(allow_http=True)
    asked = urllib.request.Request("https://example.org/a")
    with pytest.raises(module._Refused, match=r"redirects to http://example\.org/b, which is not https"):
        redirects.redirect_request(asked, None, 302, "", {}, "http://example.org/b")
    followed = redirects.redirect_request(asked, None, 302, "", {}, "https://example.org/b")
    assert followed.full_url == "https://example.org/b"
    server.files["/b"], server.moved["/a"] = CONTENT, server.url + "/b"
    download([server.url + "/a"], tmp_path / "a.smi", len(CONTENT), RIGHT)
    assert (tmp_path / "a.smi").read_bytes() == CONTENT
    server.moved["/c"] = "file:///etc/hostname"
    with pytest.raises(ChemscaleError, match=r"Redirection to url .file:///etc/hostname. is not allowed"):
        download([server.url + "/c"], tmp_path / "c.smi")
    assert len([path for path, _ in server.requests if path == "/c"]) == 1


@pytest.mark.parametrize("tags", [('"1"', '"2"'), (None, None)], ids=["tagged", "untagged"])
def test_two_versions_of_a_file_are_never_joined(server, tmp_path, tags):
    server.files["/a.smi"], server.breaks["/a.smi"] = CONTENT, 50
    server.tags["/a.smi"] = tags[0]
    with pytest.raises(ChemscaleError, match="broke off"):
        download([server.url + "/a.smi"], tmp_path / "a.smi")
    assert CONTENT.startswith((tmp_path / "a.smi.part").read_bytes())
    server.files["/a.smi"], server.breaks, server.tags["/a.smi"] = CONTENT.lower(), {}, tags[1]
    download([server.url + "/a.smi"], tmp_path / "a.smi")
    assert (tmp_path / "a.smi").read_bytes() == CONTENT.lower()
    assert [path.name for path in tmp_path.iterdir()] == ["a.smi"]


def test_a_file_without_a_checksum_is_resumed_while_its_version_lasts(server, tmp_path):
    server.files["/a.smi"], server.breaks["/a.smi"], server.tags["/a.smi"] = CONTENT, 8000, '"1"'
    download([server.url + "/a.smi"], tmp_path / "a.smi")
    assert (tmp_path / "a.smi").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=8000-", "bytes=16000-"]


def test_a_range_that_was_not_asked_for_and_is_refused_is_an_error(server, tmp_path):
    server.files["/a.smi"], server.status = CONTENT, 416
    with pytest.raises(ChemscaleError, match="HTTP 416 Requested Range"):
        download([server.url + "/a.smi"], tmp_path / "a.smi")


def test_the_first_download_stays_pinned_when_its_record_is_deleted(server, tmp_path):
    server.files["/a.smi"] = CONTENT
    entry = ENTRY | {"url": server.url + "/a.smi"}
    fetch("remote", entry, tmp_path)
    (tmp_path / "source.json").unlink()  # as Snakemake does before it runs a rule again
    (tmp_path / "a.smi").write_bytes(CONTENT[:-4])
    server.files["/a.smi"] = CONTENT[:-4]
    with pytest.raises(ChemscaleError, match=f"where {RIGHT['sha256']} is right"):
        fetch("remote", entry, tmp_path)
