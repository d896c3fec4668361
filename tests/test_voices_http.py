"""Engines behind a server, against one on this machine: what is sent, what comes back, everything that goes wrong."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from wav2lip_hq.errors import EngineError
from wav2lip_hq.voices import Segment, engines, http
from wav2lip_hq.voices.openai import HttpListener, HttpSpeaker, HttpTranslator, HttpWriter, encoded

WAV = encoded((0.3 * np.sin(np.arange(12000) / 9)).astype(np.float32), 24000)


@pytest.fixture
def server(monkeypatch):
    """A server whose answers are a list of (code, headers, body or function); requests are noted."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.requests.append((self.path, dict(self.headers), body))
            code, headers, answer = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            if callable(answer):
                return answer(self)
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.requests, made.answers = [], []
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(http.time, "sleep", lambda seconds: None)
    for kind in engines.KINDS:
        monkeypatch.setenv(http.variable(kind, "URL"), f"http://127.0.0.1:{made.server_port}/v1")
        monkeypatch.setenv(http.variable(kind, "MODEL"), f"{kind}-model")
        monkeypatch.setenv(http.variable(kind, "KEY"), "sk-secret")
        monkeypatch.setenv(http.variable(kind, "TIMEOUT"), "5")
    yield made
    made.shutdown()
    made.server_close()


def chat(text):
    return (200, {}, json.dumps({"choices": [{"message": {"content": text}}]}).encode())


def test_nothing_is_sent_unless_it_is_asked_for_and_configured(server, monkeypatch):
    server.answers = [(500, {}, b"")]
    for kind in engines.KINDS:
        assert not engines.make(kind, "http").automatic
    with pytest.raises(EngineError, match="there is no listener for 'qq'"):
        engines.find("listener", "auto", "qq")  # the server could do it, but nobody named it
    monkeypatch.delenv(http.variable("speaker", "URL"))
    with pytest.raises(EngineError, match="WAV2LIP_HQ_SPEAKER_URL is not set"):
        engines.find("speaker", "http", "en")
    assert server.requests == []


def test_speaker(server):
    server.answers = [(200, {"Content-Type": "audio/wav"}, WAV)]
    spoken = engines.find("speaker", "http", "es").speak("Hola", "es", "nova")
    assert spoken.seconds == pytest.approx(0.5, abs=0.05) and np.abs(spoken.wav).max() > 0.2
    path, headers, body = server.requests[0]
    assert path == "/v1/audio/speech" and headers["Authorization"] == "Bearer sk-secret"
    sent = json.loads(body)
    assert sent["input"] == "Hola" and sent["voice"] == "nova" and sent["model"] == "speaker-model"
    server.answers = [(200, {}, b"<html>not a sound</html>")]
    with pytest.raises(EngineError, match="something that is not sound"):
        HttpSpeaker().speak("Hola", "es")


def test_listener(server):
    answer = {
        "text": "hi there",
        "segments": [{"start": 0.1, "end": 0.9, "text": " hi there"}, {"start": 1, "end": 99, "text": "bye"}],
        "words": [{"word": "hi", "start": 0.1, "end": 0.4}, {"word": "there", "start": 0.4, "end": 0.9}],
    }
    server.answers = [(200, {}, json.dumps(answer).encode())]
    found = HttpListener().transcribe(np.zeros(32000, np.float32), 16000, "en-US")
    assert [(s.start, s.end, s.text) for s in found] == [(0.1, 0.9, "hi there"), (1, 2.0, "bye")]
    assert [w.text for w in found[0].words] == ["hi", "there"]
    path, headers, body = server.requests[0]
    assert path == "/v1/audio/transcriptions" and b"RIFF" in body and b'name="language"\r\n\r\nen\r\n' in body
    for odd in ({"segments": [{"start": "x"}]}, {"text": "only text"}, [1], {"segments": [3]}):
        server.answers = [(200, {}, json.dumps(odd).encode())]
        with pytest.raises(EngineError, match="without segments and times|without times"):
            HttpListener().transcribe(np.zeros(16000, np.float32), 16000, "en")


def test_translator_and_writer(server):
    lines = [Segment(0, 1, "hello"), Segment(1, 2, 'a "quoted" line')]
    server.answers = [chat('```json\n["hola", "una línea"]\n```')]
    assert [s.text for s in HttpTranslator().translate(lines, "en", "es")] == ["hola", "una línea"]
    sent = json.loads(json.loads(server.requests[0][2])["messages"][1]["content"])
    assert sent == ["hello", 'a "quoted" line']
    for odd in ('["one"]', "hola", "[1, 2]", '{"a": 1}'):
        server.answers = [chat(odd)]
        with pytest.raises(EngineError, match="did not answer with a list of 2 lines"):
            HttpTranslator().translate(lines, "en", "es")
    server.answers = [chat("Bread is old.")]
    assert HttpWriter().write("bread", 10, "en") == "Bread is old."
    server.answers = [(200, {}, b'{"choices": []}')]
    with pytest.raises(EngineError, match="without a message"):
        HttpWriter().write("bread", 10, "en")


def test_what_fails_in_passing_is_tried_again(server):
    server.answers = [(503, {}, b""), (429, {"Retry-After": "1"}, b""), (200, {}, WAV)]
    assert HttpSpeaker().speak("Hola", "es").seconds > 0.4
    assert len(server.requests) == 3
    server.answers = [(500, {}, b"")]
    with pytest.raises(EngineError, match="answered 500.*tried 3 times"):
        HttpSpeaker().speak("Hola", "es")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            (401, {}, b'{"error": {"message": "bad key sk-secret"}}'),
            r"answered 401 \(bad key \.\.\.\); is WAV2LIP_HQ_W",
        ),
        ((404, {}, b""), "answered 404.*mostly ends in /v1"),
        ((400, {}, b'{"error": "no such model"}'), r"answered 400 \(no such model\)"),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), "answered 302.*redirects are not followed"),
        ((200, {}, b"no json"), "something that is not JSON"),
        ((200, {}, b"[" * 100000), "something that is not JSON"),
    ],
)
def test_errors_are_one_line_without_the_key(server, answer, words):
    server.answers = [answer]
    with pytest.raises(EngineError, match=words) as caught:
        HttpWriter().write("bread", 10, "en")
    assert "\n" not in str(caught.value) and "sk-secret" not in str(caught.value)


def test_answers_are_bounded_in_time_and_size(server, monkeypatch):
    def slow(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                return
            threading.Event().wait(0.05)

    monkeypatch.setenv(http.variable("writer", "TIMEOUT"), "0.4")
    server.answers = [(200, {}, slow)]
    began = time.monotonic()
    with pytest.raises(EngineError, match="did not answer within 0.4 s"):
        HttpWriter().write("bread", 10, "en")
    assert time.monotonic() - began < 3
    monkeypatch.setenv(http.variable("writer", "TIMEOUT"), "5")
    monkeypatch.setattr(http, "LARGEST", 1 << 20)
    server.answers = [(200, {}, b" " * (3 << 20))]
    with pytest.raises(EngineError, match="more than 1 MB"):
        HttpWriter().write("bread", 10, "en")


def test_the_network_is_down(server, monkeypatch):
    server.shutdown()
    server.server_close()
    with pytest.raises(EngineError, match="cannot be reached"):
        HttpWriter().write("bread", 10, "en")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("URL", "file:///etc/passwd", "begins with http"),
        ("URL", "http://somewhere.example/v1", "a key is sent to https"),
        ("URL", "https://me:pass@somewhere.example/v1", "holds a password"),
        ("URL", "http://[::1", "is not an address"),
        ("KEY", "a\r\nX-Evil: 1", "characters that no key has"),
        ("TIMEOUT", "soon", "is a number of seconds"),
    ],
)
def test_odd_configuration_is_told(server, monkeypatch, name, value, words):
    monkeypatch.setenv(http.variable("writer", name), value)
    with pytest.raises(EngineError, match=words):
        HttpWriter().write("bread", 10, "en")
    assert server.requests == []
