"""Pictures from their addresses: what may be fetched, what is kept, and what is said of the rest."""

from __future__ import annotations

import http.server
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_folders import picture

from benchmarks import raw_archives
from benchmarks.raw_archives import write_archive
from robustrec.cli.main import run
from robustrec.datasets.prepare import addresses, picture_store
from robustrec.datasets.prepare.addresses import LinkError, checked_place, is_public
from robustrec.datasets.prepare.build import prepare
from robustrec.datasets.prepare.download import Fetcher
from robustrec.datasets.prepare.options import PrepareOptions
from robustrec.datasets.prepare.picture_store import PictureStore, fetch_all
from robustrec.datasets.registry import load_folder
from robustrec.errors import RobustrecError
from robustrec.progress import silent

PICTURE = picture()


class Site:
    """A local web server; `pages` has status, headers and content by path."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[str] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.seen.append(self.path)
                site.hosts.add(self.headers["Host"])
                status, headers, content = site.pages.get(self.path, (404, {}, b"gone"))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                if int(headers.get("Content-Length") or len(content)) != len(content):
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.hosts: set[str] = set()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    fetcher = Fetcher(allow_private=True)
    yield fetcher
    fetcher.close()


def no_sleep(_: float) -> None:
    pass


def fetched(tmp_path: Path, urls: list[str], fetcher, **options):
    options = {"rate": 1000.0, "progress": silent, "sleep": no_sleep, **options}
    return fetch_all(PictureStore(tmp_path / "store"), urls, fetcher, **options)


def refusal(fetcher: Fetcher, url: str) -> LinkError:
    with pytest.raises(LinkError) as error:
        fetcher.fetch(url)
    return error.value


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136::1",
        "fec0::1",
        "::7f00:1",
        "fe80::1%eth0",
        "198.18.0.1",
        "192.0.2.1",
        "2001:db8::1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "52.84.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/a.png",
        "http://localhost:{port}/a.png",
        "http://2130706433:{port}/a.png",
        "http://0x7f.1:{port}/a.png",
        "http://[::ffff:127.0.0.1]:{port}/a.png",
        "http://0:{port}/a.png",
        "ftp://127.0.0.1:{port}/a.png",
        "file:///etc/passwd",
        "http://user:word@127.0.0.1:{port}/a.png",
        "http://example.com\\@127.0.0.1:{port}/a.png",
        "http:///a.png",
        "//127.0.0.1:{port}/a.png",
        "/etc/passwd",
        "http://127.0.0.1:{port}/a.png\r\nX: y",
        "http://127.0.0.1:99999/a.png",
        "http://[::1/a.png",
        "",
    ],
)
def test_private_and_strange_addresses_are_refused_and_never_asked(site, url):
    site.pages["/a.png"] = (200, {}, PICTURE)
    refusal(Fetcher(), url.format(port=site.port))
    assert site.seen == []


def test_ports_of_other_services_are_refused():
    for port, allowed in ((80, True), (443, True), (8080, True), (25, False), (22, False)):
        url = f"http://shop.example:{port}/a"
        if allowed:
            assert checked_place(url, resolve=lambda *_: ["8.8.8.8"]).port == port
        else:
            with pytest.raises(LinkError, match=str(port)):
                checked_place(url, resolve=lambda *_: ["8.8.8.8"])


def test_one_private_address_among_public_ones_is_enough_to_refuse():
    with pytest.raises(LinkError, match="192"):
        checked_place("http://shop.example/a", resolve=lambda *_: ["8.8.8.8", "192.168.0.7"])


def test_a_redirect_to_a_private_address_is_refused(site, monkeypatch):
    """The server counts as public here, and the place that it redirects to does not."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    site.pages["/a.png"] = (302, {"Location": f"http://127.0.0.2:{site.port}/secret"}, b"")
    site.pages["/secret"] = (200, {}, PICTURE)
    error = refusal(Fetcher(), f"{site.url}/a.png")
    assert "127.0.0.2" in error.detail
    assert (error.lasting, error.wait) == (False, None)
    assert site.seen == ["/a.png"]
    for place in ("ftp://127.0.0.1/x", "file:///etc/passwd"):
        site.pages["/a.png"] = (302, {"Location": place}, b"")
        assert "not http" in refusal(Fetcher(), f"{site.url}/a.png").reason


def test_the_name_is_not_resolved_again_for_the_connection(site, monkeypatch):
    """A name server that gives a private address the second time gains nothing: the connection goes to an address."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    original = socket.getaddrinfo
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    def guarded(host, *arguments, **options):
        assert host == "127.0.0.1", f"{host} was resolved again"
        return original(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
    site.pages["/a.png"] = (200, {}, PICTURE)
    fetcher = Fetcher(resolve=resolve)
    url = f"http://shop.example:{site.port}/a.png"
    assert fetcher.fetch(url) == PICTURE
    assert site.hosts == {f"shop.example:{site.port}"}
    assert "10.0.0.1" in refusal(fetcher, url).detail  # though a connection is open
    fetcher.close()


def test_redirects_are_followed_a_few_times(site, fetcher):
    for step in range(9):
        site.pages[f"/{step}"] = (301, {"Location": f"{step + 1}"}, b"")
    site.pages["/9"] = (200, {}, PICTURE)
    assert fetcher.fetch(f"{site.url}/4") == PICTURE
    assert "redirects" in refusal(fetcher, f"{site.url}/3").reason
    site.pages["/loop"] = (302, {"Location": "/loop"}, b"")
    assert "redirects" in refusal(fetcher, f"{site.url}/loop").reason


def test_limits_on_size_and_time(site):
    small = Fetcher(allow_private=True, most_bytes=1000)
    site.pages["/said"] = (200, {"Content-Length": "100000"}, b"x")
    site.pages["/unsaid"] = (200, {"Content-Length": "", "Connection": "close"}, b"x" * 5000)
    site.pages["/packed"] = (200, {"Content-Encoding": "gzip"}, PICTURE)
    site.pages["/short"] = (200, {"Content-Length": "900"}, b"x" * 800)
    assert refusal(small, f"{site.url}/said").lasting
    assert "more than" in refusal(small, f"{site.url}/unsaid").reason
    assert "compressed" in refusal(small, f"{site.url}/packed").reason
    assert not refusal(small, f"{site.url}/short").lasting
    small.close()


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\nGIF89a"])
def test_a_server_that_never_finishes_is_left(begun):
    """Whatever it has sent: nothing, a part of the header, or a part of the content without its length."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def accept() -> None:
            connection, _ = server.accept()
            held.append(connection)
            connection.recv(2**16)
            connection.sendall(begun)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        slow = Fetcher(allow_private=True, seconds=0.05)
        error = refusal(slow, f"http://127.0.0.1:{server.getsockname()[1]}/slow")
        assert "took longer than 0.05 s" in error.reason
        assert not error.lasting
        thread.join()
        held[0].close()


def test_statuses_that_last_and_statuses_that_pass(site, fetcher):
    for status, lasting in (
        (404, True),
        (410, True),
        (403, True),
        (429, False),
        (408, False),
        (500, False),
        (503, False),
    ):
        site.pages["/a"] = (status, {"Retry-After": "7"}, b"")
        error = refusal(fetcher, f"{site.url}/a")
        assert (error.reason, error.lasting, error.wait) == (f"HTTP {status}", lasting, 7.0)
    assert not refusal(fetcher, "http://127.0.0.1:9/a").lasting  # nobody listens


def test_each_picture_is_fetched_once_and_dead_links_are_remembered(tmp_path, site, fetcher):
    site.pages |= {"/a": (200, {}, PICTURE), "/b": (200, {}, PICTURE), "/page": (200, {}, b"<html>log in</html>")}
    site.pages["/dot"] = (200, {}, picture(size=(1, 1)))
    site.pages["/busy"] = (503, {}, b"")
    urls = [f"{site.url}/{name}" for name in ("a", "b", "dead", "page", "dot", "busy")]
    found = fetched(tmp_path, urls, fetcher)
    assert found.downloaded == 2
    assert found.reasons(lasting=True) == {"HTTP 404": 1, "an empty picture of 1 x 1 pixels": 1}
    assert found.reasons(lasting=False) == {"not a picture that can be read": 1, "HTTP 503": 1}
    assert Counter(site.seen) == {"/a": 1, "/b": 1, "/dead": 1, "/page": 1, "/dot": 1, "/busy": 3}
    assert len(list((tmp_path / "store" / "objects").rglob("*.*"))) == 0
    assert len([path for path in (tmp_path / "store" / "objects").rglob("*") if path.is_file()]) == 1  # one content
    site.seen.clear()
    site.pages["/busy"] = (200, {}, PICTURE)
    again = fetched(tmp_path, urls, fetcher)
    assert sorted(site.seen) == ["/busy", "/page"]
    assert again.links[urls[0]] == found.links[urls[0]]
    assert again.links[urls[5]].digest


def test_a_damaged_picture_or_record_is_fetched_again(tmp_path, site, fetcher):
    site.pages["/a"] = (200, {}, PICTURE)
    url = f"{site.url}/a"
    fetched(tmp_path, [url], fetcher)
    for path in [path for path in (tmp_path / "store").rglob("*") if path.is_file()]:
        for damaged in (b"", b"{}", path.read_bytes()[:-1], b'{"url": 1, "sha256": "../../x"}'):
            path.write_bytes(damaged)
            site.seen.clear()
            assert fetched(tmp_path, [url], fetcher).links[url].digest
            assert site.seen == ["/a"]


def test_the_rate_is_kept_and_a_server_that_asks_to_wait_is_waited_for(tmp_path):
    now = [100.0]
    asked: list[float] = []

    class Slow:
        def fetch(self, url: str) -> bytes:
            asked.append(now[0])
            now[0] += 0.03
            if url.endswith("/3") and asked.count(now[0] - 0.03) and len(asked) == 4:
                raise LinkError("HTTP 429", lasting=False, wait=30.0)
            return PICTURE

    def sleep(seconds: float) -> None:
        assert seconds >= 0
        now[0] += seconds

    urls = [f"http://shop.example/{number}" for number in range(6)]
    found = fetched(tmp_path, urls, Slow(), rate=4.0, clock=lambda: now[0], sleep=sleep)
    assert all(link.digest for link in found.links.values())
    steps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert min(steps) >= 0.25 - 1e-9
    assert steps[3] >= 30.0


def test_a_network_that_is_down_stops_the_download(tmp_path):
    class Down:
        def __init__(self, pictures: int) -> None:
            self.pictures = pictures

        def fetch(self, url: str) -> bytes:
            self.pictures -= 1
            if self.pictures < 0:
                raise LinkError("the host cannot be resolved", "shop.example", lasting=False)
            return PICTURE

    urls = [f"http://shop.example/{number}" for number in range(100)]
    with pytest.raises(RobustrecError, match="20 downloads in a row failed"):
        fetched(tmp_path, urls, Down(5))
    store = PictureStore(tmp_path / "store")
    assert sum(store.link(url) is not None for url in urls) == 5

    # The same where each address gives a page: a network that asks for a login.
    class Login:
        def fetch(self, url: str) -> bytes:
            return b"<html>"

    with pytest.raises(RobustrecError, match="20 downloads in a row failed"):
        fetched(tmp_path, urls, Login())


def shop(tmp_path: Path, site: Site) -> raw_archives.Archive:
    archive = write_archive(
        "amazon2014", tmp_path / "raw", reviews=1500, users=150, items=60, picture_host=site.url, seed=3
    )
    for number, item in enumerate(archive.items):
        if number % 10 != 3:  # some links are dead
            site.pages[item.picture.removeprefix(site.url)] = (200, {}, raw_archives.picture(item))
    return archive


def options(**changed) -> PrepareOptions:
    return PrepareOptions(picture_urls=True, picture_rate=50.0, **changed)


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(picture_store.time, "sleep", no_sleep)
    monkeypatch.setattr(fetch_all, "__kwdefaults__", {**fetch_all.__kwdefaults__, "sleep": no_sleep})


@pytest.mark.usefixtures("quick")
def test_prepare_downloads_resumes_and_lists_dead_links(tmp_path, site, fetcher):
    archive = shop(tmp_path, site)
    home = tmp_path / "home"

    class Interrupted:
        def __init__(self) -> None:
            self.left = 20

        def fetch(self, url: str) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return fetcher.fetch(url)

    with pytest.raises(KeyboardInterrupt):
        prepare("amazon2014", archive.folder, home, options(), fetcher=Interrupted())
    assert not (home / "data" / "baby").exists()
    assert [path for path in (home / "data").iterdir() if path.is_dir()] == []
    before = Counter(site.seen)
    done = prepare("amazon2014", archive.folder, home, options(), fetcher=fetcher)
    assert max(Counter(site.seen).values()) == 1  # nothing is fetched twice
    assert before.total() == 20
    data = load_folder(done.folder, home=home)
    known = {item.id: item for item in archive.items}
    lines = [line.split("\t") for line in (done.folder / "picture_links.tsv").read_text().splitlines()[1:]]
    for number, name, url, state in lines:
        item = known[name]
        assert item.picture == url
        dead = archive.items.index(item) % 10 == 3
        assert state == ("dead: HTTP 404" if dead else "downloaded")
        content = data.catalog.picture_bytes(int(number))
        assert content == (None if dead else raw_archives.picture(item))
    counted = {row.reason: row.rows for row in data.filters}
    assert counted["dead picture links: HTTP 404"] == sum(state.startswith("dead") for *_, state in lines) > 0
    assert done.counts["items with a picture from the web"] == data.catalog.n_pictures
    # With all of them known, offline gives the same data set; without, it refuses.
    offline = prepare("amazon2014", archive.folder, home, options(name="again", offline=True))
    assert load_folder(offline.folder, home=home).digest == data.digest
    with pytest.raises(RobustrecError, match="offline"):
        prepare("amazon2014", archive.folder, tmp_path / "new", options(offline=True))


@pytest.mark.usefixtures("quick")
def test_links_that_fail_for_now_are_tried_again_at_the_next_preparation(tmp_path, site, fetcher):
    archive = shop(tmp_path, site)
    path = next(path for path in site.pages)
    site.pages[path] = (503, {}, b"")
    done = prepare("amazon2014", archive.folder, tmp_path / "home", options(), fetcher=fetcher)
    assert "1 pictures could not be downloaded now" in "".join(done.warnings)
    site.pages[path] = (200, {}, PICTURE)
    with pytest.raises(RobustrecError, match="already exists"):  # it is not taken for finished
        prepare("amazon2014", archive.folder, tmp_path / "home", options(), fetcher=fetcher)
    again = prepare("amazon2014", archive.folder, tmp_path / "home", options(replace=True), fetcher=fetcher)
    assert not any("downloaded" in warning for warning in again.warnings)
    assert again.counts["pictures downloaded now"] == 1
    finished = prepare("amazon2014", archive.folder, tmp_path / "home", options(), fetcher=fetcher)
    assert not finished.counts


def test_the_command_refuses_private_addresses_and_what_cannot_be(tmp_path, site, capsys):
    archive = shop(tmp_path, site)
    command = ["data", "prepare", "amazon2014", "--raw", str(archive.folder), "--home", str(tmp_path / "home")]
    assert run([*command, "--picture-urls", "--picture-rate", "50", "--offline"]) == 2
    assert "offline" in capsys.readouterr().err
    assert run([*command, "--picture-urls", "--picture-rate", "0"]) == 2
    assert "--picture-rate" in capsys.readouterr().err
    assert run([*command, "--picture-urls", "--pictures", str(tmp_path)]) == 2
    assert "one of the two" in capsys.readouterr().err
    assert site.seen == []


@pytest.mark.usefixtures("quick")
def test_private_addresses_in_metadata_are_never_asked(tmp_path, site):
    archive = shop(tmp_path, site)
    with pytest.raises(RobustrecError, match=r"not public [(]127[.]0[.]0[.]1 has the address 127[.]0[.]0[.]1[)]"):
        prepare("amazon2014", archive.folder, tmp_path / "home", options())
    assert site.seen == []
    assert not (tmp_path / "home" / "data" / "baby").exists()


def test_one_host_that_fails_does_not_stop_the_others(tmp_path):
    asked: Counter[str] = Counter()

    class Mixed:
        def fetch(self, url: str) -> bytes:
            asked[url.split("/")[2]] += 1
            if "gone.example" in url:
                raise LinkError("the host cannot be resolved", "gone.example", lasting=False)
            return PICTURE

    urls = [f"http://{host}/{number}" for number in range(60) for host in ("gone.example", "shop.example")]
    found = fetched(tmp_path, urls, Mixed())
    assert found.downloaded == 60
    assert found.reasons(lasting=False) == {
        "the host cannot be resolved": 20,
        "not tried after 20 failures of the host": 40,
    }
    assert asked == {"gone.example": 60, "shop.example": 60}  # three tries of twenty
    assert found.links[urls[0]].state == "failed: the host cannot be resolved (gone.example)"
