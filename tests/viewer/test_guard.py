"""Who may read and write: names of the machine, the token, other pages, and what a page may load."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from wsi_embed.viewer import app as application
from wsi_embed.viewer.app import create_app
from wsi_embed.viewer.endpoints import writing
from wsi_embed.viewer.session import Session

TOKEN = "a long secret of the test"
HOST = "http://127.0.0.1:8765"
OWN = {"x-wsi-embed": "1", "origin": HOST}


class Topic:
    """A topic with an endpoint that writes: it notes what it was sent."""

    sent: list[Any]

    @classmethod
    def routes(cls, session: Session) -> list[Route]:
        cls.sent = []
        return [writing("/api/note", lambda request, document: cls.sent.append(document))]


@pytest.fixture(autouse=True)
def _writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "TOPICS", (*application.TOPICS, Topic))


def client(session: Session, base_url: str = HOST, **options: Any) -> TestClient:
    return TestClient(create_app(session, **options), base_url=base_url, follow_redirects=False)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:9999", 200),
        ("LOCALHOST", 200),
        ("[::1]:8765", 200),
        ("192.168.1.7:8765", 200),
        ("evil.example", 421),
        ("evil.example:8765", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1@evil.example", 421),
        ("evil.example@127.0.0.1", 421),
        ("[::1", 421),
        ("[evil.example]", 421),
        ("localhost:port", 200),
        ("", 421),
    ],
)
def test_only_names_of_this_machine_are_answered(session: Session, host: str, status: int) -> None:
    assert client(session).get("/api/session", headers={"host": host}).status_code == status


def test_the_host_that_was_given_is_a_name_of_this_machine(session: Session) -> None:
    headers = {"host": "Viewer.Lab:8765"}
    assert client(session).get("/", headers=headers).status_code == 421
    assert client(session, names=["viewer.lab"]).get("/", headers=headers).status_code == 200


def test_without_the_token_nothing_is_served(session: Session) -> None:
    guarded = client(session, token=TOKEN)
    for path in ("/", "/api/session", "/static/js/main.js", "/api/stores/0/slides/a/thumbnail.jpg"):
        for wrong in ({}, {"token": ""}, {"token": TOKEN[:-1]}, {"token": "é"}):
            assert guarded.get(path, params=wrong).status_code == 401
        assert guarded.get(path, headers={"authorization": f"Bearer {TOKEN}x"}).status_code == 401
        assert guarded.get(path, headers={"cookie": f"wsi-embed={TOKEN}"}).status_code == 401


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(session: Session) -> None:
    guarded = client(session, token=TOKEN)
    answer = guarded.get("/", params={"token": TOKEN, "a": "b c"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?a=b+c")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert guarded.get("/api/session").status_code == 200
    guarded.cookies.clear()
    assert guarded.get("/api/session").status_code == 401


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("//evil.example/", "/evil.example/"),
        ("/%5Cevil.example/", "/%5Cevil.example/"),
        ("/\u03b2", "/%CE%B2"),
        ("/a%0d%0aset-cookie:b", "/a%0D%0Aset-cookie%3Ab"),
    ],
)
def test_the_redirect_stays_on_this_server(session: Session, path: str, location: str) -> None:
    answer = client(session, token=TOKEN).get(HOST + path, params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, location)


def test_programs_send_the_token_in_a_header(session: Session) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert client(session, token=TOKEN).get("/api/session", headers=headers).status_code == 200


def test_a_write_of_the_page_itself_arrives(session: Session) -> None:
    assert client(session).post("/api/note", json={"name": "ö"}, headers=OWN).status_code == 200
    assert Topic.sent == [{"name": "ö"}]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": HOST},  # a form of another page cannot set the header
        {**OWN, "origin": "http://evil.example"},
        {**OWN, "origin": "http://127.0.0.1:1"},
        {**OWN, "origin": "null"},
        {**OWN, "origin": "http://["},
        {**OWN, "origin": ""},
        {**OWN, "sec-fetch-site": "cross-site"},
        {**OWN, "sec-fetch-site": "same-site"},
    ],
)
def test_a_write_of_another_page_is_refused(session: Session, headers: dict[str, str]) -> None:
    answer = client(session).post("/api/note", json={}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["what"]
    assert Topic.sent == []


def test_read_only_refuses_every_write(session: Session) -> None:
    reading = client(replace(session, read_only=True))
    assert reading.get("/api/session").json()["read_only"] is True
    assert reading.post("/api/note", json={}, headers=OWN).status_code == 403
    assert Topic.sent == []


@pytest.mark.parametrize("body", [b"", b"{", b'"' + bytes(2**20) + b'"'])
def test_what_is_no_small_document_is_refused(session: Session, body: bytes) -> None:
    assert client(session).post("/api/note", content=body, headers=OWN).status_code == 400
    assert Topic.sent == []


def test_data_are_not_given_to_pages_of_other_servers(session: Session) -> None:
    answer = client(session).get("/api/session", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    # a link to the page is no harm
    assert client(session).get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/static/viewer.css", "/api/session", "/api/nothing", "/static/nothing"]
)
def test_every_answer_says_what_a_page_may_load(session: Session, path: str) -> None:
    headers = client(session).get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_refusals_have_the_policy_too(session: Session) -> None:
    for answer in (
        client(session).get("/", headers={"host": "evil.example"}),
        client(session, token=TOKEN).get("/"),
    ):
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_notebooks_on_this_machine_may_show_it_in_a_frame(session: Session) -> None:
    policy = client(session, framed=True).get("/").headers["content-security-policy"]
    assert "frame-ancestors 'self' http://localhost:* http://127.0.0.1:*" in policy
