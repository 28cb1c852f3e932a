"""Faults of servers and networks: retried, or one clear line without anything secret."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.storage.server import Server
from wsi_embed.errors import RemoteError
from wsi_embed.storage import Address, objects
from wsi_embed.storage.client import _client

CONTENT = bytes(range(256)) * 40
PASSING = ["500", "503", "429", "reset", "slow", "cut"]


@pytest.mark.parametrize("what", PASSING)
def test_reading_outlives_what_passes(what: str, server: Server, bucket: Address) -> None:
    objects.write(bucket / "a", CONTENT)
    with server.failing(f"GET /{bucket.host}/a", what, times=2) as fault:
        assert objects.read(bucket / "a") == CONTENT
    assert fault.met == 2


@pytest.mark.parametrize("what", ["500", "503", "reset", "slow"])
def test_writing_outlives_what_passes(what: str, server: Server, bucket: Address) -> None:
    with server.failing(f"PUT /{bucket.host}/a", what, times=2) as fault:
        objects.write(bucket / "a", CONTENT)
    assert fault.met == 2
    assert objects.read(bucket / "a") == CONTENT


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("500", "the server keeps failing (InternalError)"),
        ("503", "the server keeps failing (SlowDown)"),
        ("reset", "the server keeps failing"),
        ("expired", "access is refused (ExpiredToken); renew or correct the credentials"),
        ("denied", "access is refused (AccessDenied); renew or correct the credentials"),
    ],
)
@pytest.mark.parametrize(
    "ask",
    [
        lambda a: objects.read(a),
        lambda a: objects.write(a, b"new"),
        lambda a: list(objects.below(a.parent)),
        lambda a: objects.beside(a.parent),
    ],
    ids=["read", "write", "list", "folders"],
)
def test_what_stays_is_one_line(
    what: str, says: str, ask: Callable[[Address], object], server: Server, bucket: Address
) -> None:
    objects.write(bucket / "in/a", CONTENT)
    with server.failing(f"[A-Z]+ /{bucket.host}", what), pytest.raises(RemoteError) as error:
        ask(bucket / "in/a")
    text = str(error.value)
    assert text.startswith(str(bucket))
    assert says in text
    assert "\n" not in text
    assert "top-secret" not in text
    assert error.value.__cause__ is None
    assert objects.read(bucket / "in/a") == CONTENT


def test_credentials_that_are_refused_are_not_tried_again(server: Server, bucket: Address) -> None:
    with server.failing(f"GET /{bucket.host}/a", "expired") as fault, pytest.raises(RemoteError):
        objects.read(bucket / "a")
    assert fault.met == 1


def test_an_answer_without_a_body_says_what_to_look_at(server: Server, bucket: Address) -> None:
    with (
        server.failing(f"HEAD /{bucket.host}/a", "expired"),
        pytest.raises(RemoteError, match=r"400 Bad Request\); are the credentials valid"),
    ):
        objects.stat(bucket / "a")


def test_what_is_not_there(server: Server, bucket: Address) -> None:
    for ask in (objects.read, objects.stat, lambda a: objects.read_head(a, 10)):
        with pytest.raises(FileNotFoundError):
            ask(bucket / "gone")
    assert list(objects.below(bucket / "gone")) == []
    objects.delete([bucket / "gone"])


def test_a_bucket_that_is_not_there(server: Server) -> None:
    gone = Address("s3", "no-such-bucket", "a")
    for ask in (lambda: objects.write(gone, b""), lambda: list(objects.below(gone))):
        with pytest.raises(RemoteError, match="there is no such bucket"):
            ask()


def test_an_object_is_created_once(bucket: Address) -> None:
    objects.write(bucket / "a", b"first", replace=False)
    with pytest.raises(FileExistsError):
        objects.write(bucket / "a", b"second", replace=False)
    assert objects.read(bucket / "a") == b"first"


def test_no_credentials_anywhere(server: Server, bucket: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    _client.cache_clear()
    with pytest.raises(RemoteError, match="no credentials in the environment"):
        objects.read(bucket / "a")


def test_a_profile_of_the_command_line_is_used(
    server: Server, bucket: Address, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = f"{os.fspath(tmp_path)}/credentials"
    with open(file, "w") as text:
        text.write("[lab]\naws_access_key_id = id\naws_secret_access_key = top-secret\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", file)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    _client.cache_clear()
    objects.write(bucket / "a", b"x")
    assert objects.read(bucket / "a") == b"x"
    monkeypatch.setenv("AWS_PROFILE", "other")
    _client.cache_clear()
    with pytest.raises(RemoteError, match="no credentials in the AWS profile"):
        objects.read(bucket / "a")


# In a Python of its own: what the other tests have loaded does not survive a fork.
_FORK = """
import multiprocessing, sys
from wsi_embed.errors import RemoteError
from wsi_embed.storage import location, objects

def ask(address):
    try:
        objects.read(address)
    except RemoteError as error:
        print(error, flush=True)

address = location(sys.argv[1])
objects.write(address, b"x")
child = multiprocessing.get_context("fork").Process(target=ask, args=(address,))
child.start()
child.join(20)
sys.exit(child.exitcode)
"""


def test_a_forked_process_is_told_so_and_does_not_hang(bucket: Address) -> None:
    command = [sys.executable, "-c", _FORK, str(bucket / "a")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "multiprocessing_context='spawn'" in done.stdout


@pytest.mark.parametrize(
    ("what", "message"),
    [("huge", "announces 1000000000000 bytes"), ("endless", "sends more than the 100 bytes it announced")],
)
def test_a_wrong_length_is_one_line(server: Server, bucket: Address, what: str, message: str) -> None:
    objects.write(bucket / "in/a", CONTENT)
    with server.failing(f"GET /{bucket.host}", what), pytest.raises(RemoteError, match=message):
        objects.read(bucket / "in/a")
