"""Signed manifests: who signed what, and whether it was changed since; broken files, keys and certificates."""

from __future__ import annotations

import datetime
import errno
import http.server
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from media import clip, write_video, write_wav
from PIL import Image

from wav2lip_hq import cli, provenance
from wav2lip_hq.errors import InputError, OptionError, OutputError
from wav2lip_hq.provenance import Claim, Consent, Input, Seal, certificates, identity, read, read_consent
from wav2lip_hq.provenance.library import context
from wav2lip_hq.video import VideoWriter, open_video

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".png")


@pytest.fixture
def me(tmp_path, monkeypatch):
    """A folder for an identity of one's own."""
    folder = tmp_path / "me" / "identity"
    monkeypatch.setenv("WAV2LIP_HQ_IDENTITY", str(folder))
    return folder


@pytest.fixture
def material(tmp_path):
    """Footage and speech."""
    write_wav(tmp_path / "dub.wav", 0.3)
    return write_video(tmp_path / "talk.mp4", clip(6), sound=tmp_path / "dub.wav"), tmp_path / "dub.wav"


def made(path: Path, frames: int = 4, notice: bool = True) -> Path:
    """A result as it is before it is signed."""
    if path.suffix == ".png":
        from wav2lip_hq.video.notice import commented

        Image.fromarray(clip(1)[0]).save(path)
        path.write_bytes(commented(path.read_bytes()) if notice else path.read_bytes())
        return path
    with open_video(clip(frames)) as reader, VideoWriter(path, reader.info, mark=notice) as writer:
        for pts, frame, _ in reader:
            writer.write(frame, pts)
    return path


def copied(source: Path, target: Path) -> Path:
    """The same streams in another file, as any tool that cuts without encoding makes it."""
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        out.metadata.update(given.metadata)
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return target


def claim(material, **changes) -> Claim:
    facts = {
        "title": "result",
        "source": Input("talk.mp4", material[0], "5" * 64),
        "speech": (Input("dub.wav", material[1], "d" * 64),),
        "models": {"landmarks": "a" * 64},
        "frames": 4,
        "changed": [(0, 0, 2), (1, 2, 3)],
        "consent": Consent("Anna agreed on 3 May"),
    }
    return Claim(**{**facts, **changes})


def signed(path: Path, material, **changes) -> Seal:
    seal = Seal(provenance.load_identity(), claim(material, **changes), path)
    seal.finish(path)
    return seal


def pictures(path: Path) -> list[np.ndarray]:
    with open_video(path) as reader:
        return [frame for _, frame, _ in reader]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_signed_file_says_what_it_was_made_of_and_shows_the_same(me, material, tmp_path, suffix):
    path = made(tmp_path / f"o{suffix}")
    before = pictures(path)
    seal = signed(path, material)
    assert all(np.array_equal(a, b) for a, b in zip(before, pictures(path), strict=True)) and not seal.warnings
    found = read(path)
    assert found.state == "valid" and found.known and not found.problems
    assert found.where == (str(tmp_path / "o.c2pa") if suffix == ".mkv" else "embedded") == seal.where
    assert found.source_type == "compositeWithTrainedAlgorithmicMedia"
    assert found.actions == ("c2pa.opened", "c2pa.edited")
    assert [(i.name, i.relation) for i in found.ingredients] == [("talk.mp4", "parentOf"), ("dub.wav", "inputTo")]
    said = found.synthesis
    assert said["source"]["sha256"] == "5" * 64 and said["speech"] == [{"name": "dub.wav", "sha256": "d" * 64}]
    assert said["models"] == [{"name": "landmarks", "sha256": "a" * 64}] and said["frames"] == 4
    assert said["synthesized"][1] == {"face": 1, "first": 2, "last": 3}
    assert said["consent"] == {"text": "Anna agreed on 3 May"} and found.time == ""
    assert not list(tmp_path.glob(".*")), "nothing is left behind"


def test_the_reader_of_c2pa_itself_opens_it(me, material, tmp_path):
    import c2pa

    path = made(tmp_path / "o.mp4")
    signed(path, material)
    with path.open("rb") as file:
        reader = c2pa.Reader("video/mp4", file, context=context())
        assert reader.get_validation_state() == "Valid" and reader.is_embedded()
        failures = reader.get_validation_results()["activeManifest"]["failure"]
    assert [f["code"] for f in failures] == ["signingCredential.untrusted"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_changed_and_stripped_files_are_told_apart(me, material, tmp_path, suffix):
    path = made(tmp_path / f"o{suffix}")
    signed(path, material)
    data = bytearray(path.read_bytes())
    at = data.find(b"IDAT") + 20 if suffix == ".png" else len(data) - len(data) // 3
    for box in (b"mdat", b"movi"):
        at = data.find(box) + 40 if box in data else at
    data[at] ^= 1
    changed = tmp_path / "changed" / path.name
    changed.parent.mkdir()
    changed.write_bytes(data)
    if suffix == ".mkv":
        shutil.copy(tmp_path / "o.c2pa", changed.parent)
    assert read(changed).state == "tampered" and read(changed).problems
    bare = made(tmp_path / f"bare{suffix}")
    assert read(bare).state == "stripped" and not read(bare).known
    assert read(made(tmp_path / f"foreign{suffix}", notice=False)).state == "none"
    if suffix in (".mp4", ".mov"):
        assert read(copied(path, tmp_path / f"cut{suffix}")).state == "stripped"


def test_trusted_valid_and_untrusted_are_told_apart(me, material, tmp_path, monkeypatch):
    path = made(tmp_path / "o.mp4")
    signed(path, material)
    root = provenance.load_identity().chain.root
    assert read(path).state == "valid" and read(path, [root]).state == "trusted"
    monkeypatch.setenv("WAV2LIP_HQ_IDENTITY", str(tmp_path / "somebody else"))
    assert read(path).state == "untrusted" and not (tmp_path / "somebody else").exists(), "reading makes nothing"
    assert read(path, [root]).state == "trusted"
    other = certificates.make("Other")[0]
    assert read(path, certificates.anchors(other, "other.pem")).state == "untrusted"


def test_a_source_keeps_its_own_manifest_and_what_was_wrong_with_it(me, material, tmp_path):
    first = made(tmp_path / "first.mp4")
    signed(first, material)
    second = made(tmp_path / "second.mp4")
    signed(second, material, source=Input("first.mp4", first))
    assert read(second).state == "valid" and read(second).ingredients[0].state == "intact"
    data = bytearray(first.read_bytes())
    data[data.find(b"mdat") + 40] ^= 1
    first.write_bytes(data)
    signed(second, material, source=Input("first.mp4", first))
    assert read(second).state == "valid" and read(second).ingredients[0].state == "tampered"


def test_a_source_that_cannot_be_read_is_named_alone(me, material, tmp_path):
    odd = tmp_path / "odd.mp4"
    odd.write_bytes(b"not what its ending says" * 10)
    path = made(tmp_path / "o.mp4")
    seal = signed(path, material, source=Input("odd.mp4", odd), speech=(Input("samples from memory"),))
    assert "odd.mp4 is named without a manifest of its own" in seal.warnings[0] and len(seal.warnings) == 1
    assert [i.name for i in read(path).ingredients] == ["odd.mp4", "samples from memory"]
    signed(path, material, source=Input("frames from memory"))
    assert read(path).actions[0] == "c2pa.created" and read(path).state == "valid"


def test_the_pictures_of_a_folder_are_signed_one_by_one(me, material, tmp_path):
    folder = tmp_path / "o"
    folder.mkdir()
    for n in range(3):
        made(folder / f"{n:06d}.png")
    signed(folder, material)
    assert (read(folder).state, read(folder).files) == ("valid", 3)
    made(folder / "000001.png")
    assert read(folder).state == "stripped" and "000001.png" in read(folder).problems[0]


def test_a_damaged_file_is_never_taken_for_an_intact_one(me, material, tmp_path):
    path = made(tmp_path / "o.mp4")
    signed(path, material)
    whole, rng = path.read_bytes(), random.Random(5)
    for words in (b"mdat", b"Anna agreed", b"compositeWith", b"aaaaaaaa", b"synthesized", b"talk.mp4", b"c2pa.edited"):
        at = whole.rindex(words) + len(words) - 1
        path.write_bytes(whole[: at + 40] + bytes([whole[at + 40] ^ 1]) + whole[at + 41 :] if words == b"mdat" else
                         whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])  # fmt: skip
        assert read(path).state in ("tampered", "invalid"), words
    begin = whole.find(b"jumb")
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(8):
            data[rng.randrange(begin, len(data))] ^= rng.randrange(1, 256)
        path.write_bytes(data[: rng.choice((len(data), begin + 999))])
        try:
            assert not read(path).known
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cut_off_exchanged_and_alone_are_told_apart_in_the_first_line(me, material, tmp_path, suffix, capsys):
    path = made(tmp_path / f"o{suffix}")
    signed(path, material)

    def first(file: Path) -> str:
        code = cli.main(["provenance", str(file)])
        shown = capsys.readouterr()
        assert code == (3 if shown.err else 11) and (shown.err + shown.out).count("Traceback") == 0
        return (shown.err + shown.out).splitlines()[0]

    (tmp_path / "x").mkdir()
    other = tmp_path / "x" / path.name
    if suffix == ".mkv":
        shutil.copy(path, other)
        assert "stripped" in first(other) and "there is no o.c2pa here" in first(other)
        shutil.copy(tmp_path / "o.c2pa", other.parent)
        made(other, frames=6)
    else:
        data = path.read_bytes()
        other.write_bytes(data[: len(data) - 60])
        said = first(other)
        assert ("its end is missing" if suffix == ".png" else "60 of its") in said, said
    if suffix in (".mp4", ".mov"):  # one file's manifest in another
        signed(made(other, frames=6), material, frames=6)
        mine, boxes = path.read_bytes(), other.read_bytes()

        def manifest(data: bytes) -> slice:
            at = data.index(b"uuid") - 4
            return slice(at, at + int.from_bytes(data[at : at + 4], "big"))

        here, there = manifest(boxes), manifest(mine)
        other.write_bytes(boxes[: here.start] + mine[there] + boxes[here.stop :])
        assert "tampered" in first(other) and "a video of 4 frames, and this one has 6" in first(other)
    if suffix == ".mkv":
        assert "tampered" in first(other) and "another file's" in first(other)


def test_files_without_video_are_one_line(me, material, tmp_path):
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty.mov").touch()
    (tmp_path / "folder").mkdir()
    for name, says in (
        ("dub.wav", "neither a manifest nor a picture"),
        ("text.mp4", "not a media file"),
        ("empty.mov", "empty"),
        ("folder", "without PNG, EXR or DPX pictures"),
        ("absent.mp4", "there is no file"),
    ):
        with pytest.raises(InputError, match=says) as error:
            read(tmp_path / name)
        assert "\n" not in str(error.value)


def test_nothing_is_fetched(me, material, tmp_path):
    import c2pa

    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/m.c2pa"
        builder = c2pa.Builder(json.dumps(claim(material, source=Input("x"), speech=()).definition()), context())
        builder.set_no_embed()
        builder.set_remote_url(url)
        remote = tmp_path / "remote.mp4"
        with material[0].open("rb") as file, remote.open("w+b") as out:
            builder.sign(provenance.load_identity().signer(), "video/mp4", file, out)
        assert url.encode() in remote.read_bytes()
        assert read(remote).state in ("none", "invalid") and asked == []
        path = made(tmp_path / "o.mp4")
        seal = signed(path, material, source=Input("remote.mp4", remote))
        assert asked == [] and read(path).state == "valid"

        who = identity.set_timestamp(f"http://127.0.0.1:{server.server_port}/time")
        seal = Seal(who, claim(material), path)
        seal.finish(path)
        server.shutdown()
    assert asked == ["/time"], "a timestamp server is asked, because somebody wanted that"
    assert "signed without a time" in seal.warnings[0] and read(path).state == "valid"


def test_a_full_disk_and_a_refusing_container(me, material, tmp_path, monkeypatch):
    path = made(tmp_path / "o.mp4")
    seal = Seal(provenance.load_identity(), claim(material), path)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=1000))
        with pytest.raises(OutputError, match="full: signing needs room") as error:
            seal.finish(path)
    assert error.value.errno == errno.ENOSPC and not list(tmp_path.glob(".*"))
    odd = tmp_path / "odd.avi"
    odd.write_bytes(b"RIFF, but no AVI that anybody could write into")
    seal = Seal(provenance.load_identity(), claim(material), odd)
    try:
        seal.finish(odd)
        assert seal.where == str(tmp_path / "odd.c2pa") and "beside" in seal.warnings[0]
    except OutputError as error:
        assert "could not be signed" in str(error)
    assert not list(tmp_path.glob(".*"))


TSA = """[tsa]
default_tsa = t
[t]
serial = {0}/serial
signer_cert = {0}/tsa.crt
certs = {0}/ca.crt
signer_key = {0}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_chain = no
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, to be the timestamp server")
def test_a_timestamp_server_says_when(me, material, tmp_path):
    place = tmp_path / "tsa"
    place.mkdir()

    def openssl(*args):
        return subprocess.run(["openssl", *args], cwd=place, check=True, capture_output=True).stdout

    (place / "cnf").write_text(TSA.format(place))
    (place / "ext").write_text(
        "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=critical,timeStamping\n"
        "keyUsage=critical,digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    new = ("-newkey", "rsa:2048", "-nodes", "-subj")
    openssl("req", "-x509", *new, "/CN=root/O=T", "-keyout", "ca.key", "-out", "ca.crt", "-days", "9")
    openssl("req", *new, "/CN=TSA/O=T", "-keyout", "tsa.key", "-out", "tsa.csr")
    above = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext")
    openssl("x509", "-req", "-in", "tsa.csr", *above, "-out", "tsa.crt", "-days", "8")

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            (place / "q").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            answer = openssl("ts", "-reply", "-config", "cnf", "-section", "t", "-queryfile", "q")
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        who = identity.set_timestamp(f"http://127.0.0.1:{server.server_port}/")
        path = made(tmp_path / "o.mp4")
        seal = Seal(who, claim(material), path)
        seal.finish(path)
        server.shutdown()
    assert not seal.warnings
    found = read(path)
    assert found.state == "valid" and found.time.startswith("20") and not found.time_trusted
    assert read(path, certificates.anchors((place / "ca.crt").read_bytes(), "ca.crt")).time_trusted


# ---- identities


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_an_identity_is_made_once_and_for_its_owner_alone(me):
    found: list[provenance.Identity] = []
    workers = [threading.Thread(target=lambda: found.append(provenance.load_identity())) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({f.chain.serial for f in found}) == 1 and sum(f.made for f in found) == 1
    assert me.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in me.iterdir()} == {0o600}
    assert list(me.parent.iterdir()) == [me] and not provenance.load_identity().warning
    (me / "key.pem").chmod(0o644)
    assert "chmod 600" in provenance.load_identity().warning


def test_a_new_identity_keeps_the_old_one_and_the_timestamp_server(me):
    before = identity.set_timestamp("http://time.example.com/tsa")
    after = identity.renew("Studio Nord")
    assert after.chain.name == "Studio Nord" and after.timestamp == before.timestamp != ""
    assert any((place / "key.pem").exists() for place in me.parent.glob("identity-until-*"))
    assert identity.set_timestamp("off").timestamp == ""


@pytest.mark.parametrize("url", ["time.example.com", "ftp://a/b", "file:///etc/passwd", "http://", "http://a b/", "x"])
def test_addresses_that_are_no_timestamp_server(me, url):
    with pytest.raises(OptionError, match="timestamp server"):
        identity.set_timestamp(url)


def pem_key(key, password=None):
    from cryptography.hazmat.primitives import serialization as s

    locked = s.BestAvailableEncryption(password) if password else s.NoEncryption()
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.TraditionalOpenSSL, locked)


def test_certificates_of_ones_own(me, material, tmp_path):
    from cryptography.hazmat.primitives import serialization

    chain, key = certificates.make("Studio Nord")
    (tmp_path / "chain.pem").write_bytes(chain)
    traditional = pem_key(serialization.load_pem_private_key(key, None))
    (tmp_path / "key.pem").write_bytes(traditional)
    who = identity.install(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert who.chain.name == "Studio Nord" and not who.own and who.folder == me
    path = made(tmp_path / "o.mp4")
    signed(path, material)
    assert read(path).signer == "Studio Nord" and read(path, [who.chain.root]).state == "trusted"


def test_wrong_keys_and_certificates_are_one_line_each(me, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    chain, key = certificates.make("Studio Nord")
    leaf, root = chain.split(b"-----END CERTIFICATE-----\n")[:2]
    end = b"-----END CERTIFICATE-----\n"
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=366 * certificates.YEARS)
    small = pem_key(rsa.generate_private_key(65537, 1024))
    locked = pem_key(serialization.load_pem_private_key(key, None), b"secret")
    for given, its_key, says in (
        (chain, certificates.make("Other")[1], "is not that of the first certificate"),
        (root + end + leaf + end, key, "is not that of the first certificate"),
        (leaf + end + certificates.make("Other")[0], key, "followed by the one that issued it"),
        (b"no certificate", key, "no PEM certificate"),
        (os.urandom(300), key, "no PEM certificate"),
        (chain, b"no key", "no PEM key"),
        (chain, b"", "no PEM key"),
        (chain, locked, "without a passphrase"),
        (chain, small, "is not that of"),
        (*certificates.make("Studio Nord", old), "has expired on"),
    ):
        (tmp_path / "c.pem").write_bytes(given)
        (tmp_path / "k.pem").write_bytes(its_key)
        with pytest.raises(InputError, match=says) as error:
            identity.install(tmp_path / "c.pem", tmp_path / "k.pem")
        assert "\n" not in str(error.value) and not me.exists(), "what cannot sign does not replace anything"
    with pytest.raises(InputError, match="cannot be read"):
        identity.install(tmp_path / "absent.pem", tmp_path / "k.pem")


def test_a_certificate_that_is_not_for_signing_is_refused(me, tmp_path):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    one = x509.CertificateBuilder(name, name, key.public_key(), 7, now - day, now + day).sign(key, hashes.SHA256())
    (tmp_path / "c.pem").write_bytes(one.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "k.pem").write_bytes(pem_key(key))
    with pytest.raises(InputError, match="cannot sign C2PA manifests"):
        identity.install(tmp_path / "c.pem", tmp_path / "k.pem")
    assert not me.exists()


def test_an_expired_or_damaged_identity_is_reported_before_anything_is_done(me):
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=366 * certificates.YEARS)
    chain, key = certificates.make("Studio Nord", old)
    identity._put(me, chain, key, {"own": True})
    with pytest.raises(InputError, match=r"expired on 20\d\d-.*identity --new"):
        provenance.load_identity()
    assert identity.renew().chain.name and not provenance.load_identity().chain.expired()
    (me / "certificates.pem").write_bytes(chain[:200])
    with pytest.raises(InputError, match="no PEM certificate"):
        provenance.load_identity()
    (me / "certificates.pem").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        provenance.load_identity()


@pytest.mark.slow
def test_a_signature_whose_certificate_has_expired_since_does_not_hold(me, material, tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "YEARS", (300 + 8) / 86400 / 365)  # eight seconds from now
    path = made(tmp_path / "o.mp4")
    signed(path, material)
    assert read(path).state == "valid"
    until = provenance.load_identity().chain.until.timestamp()
    time.sleep(max(0.0, until + 2 - time.time()))  # certificates count whole seconds
    root = certificates.anchors((me / "certificates.pem").read_bytes(), "root")
    found = read(path, root)
    assert found.state == "invalid" and not found.known and any("expired" in text for text in found.problems)
    with pytest.raises(InputError, match="has expired"):
        provenance.load_identity()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WAV2LIP_HQ_IDENTITY", str(tmp_path / "file" / "identity"))
    with pytest.raises(OutputError, match="--without-provenance") as error:
        provenance.load_identity()
    assert "\n" not in str(error.value)


def test_without_the_library_it_is_one_line(me, material, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(InputError, match=r"pip install c2pa-python.*--without-provenance"):
        read(material[0])


# ---- consent


def test_notes_of_consent(tmp_path):
    note = tmp_path / "anna.txt"
    note.write_text("Anna Smith agreed on 3 May.\n", encoding="utf-8")
    form = tmp_path / "form.pdf"
    form.write_bytes(b"%PDF with her address")
    assert read_consent("") is None and read_consent("Anna agreed").text == "Anna agreed"
    found = read_consent(str(note))
    assert (found.text, found.name, len(found.sha256)) == ("Anna Smith agreed on 3 May.", "anna.txt", 64)
    assert read_consent(str(form)).plain().keys() == {"name", "sha256"}, "a form may hold what is nobody's business"


@pytest.mark.parametrize(
    ("given", "says"),
    [("absent.txt", "no file absent.txt"), ("a/b", "no file"), ("  ", "blank"), ("a " * 3000, "4000"), ("a\0b", "NUL")],
)
def test_notes_that_are_none(given, says):
    with pytest.raises((InputError, OptionError), match=says):
        read_consent(given)


# ---- commands


def test_the_commands(me, material, tmp_path, capsys):
    assert cli.main(["identity", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["made_now"] and shown["self_signed"] and shown["folder"] == str(me)
    path = made(tmp_path / "o.mp4")
    signed(path, material, consent=Consent("Anna \x1b[31mred\x1b[0m agreed"))
    assert cli.main(["provenance", str(path)]) == 0
    out = capsys.readouterr().out
    assert "valid: intact" in out and "face 1 in frames 2 to 3" in out and "dub.wav" in out and "\x1b" not in out
    assert cli.main(["provenance", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "valid"
    assert cli.main(["identity", "--export", str(tmp_path / "root.pem"), "--timestamp", "http://time.example.com"]) == 0
    assert "http://time.example.com" in capsys.readouterr().out
    assert cli.main(["provenance", str(path), "--trust", str(tmp_path / "root.pem"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "trusted"
    assert cli.main(["provenance", str(material[0])]) == 11 and "none" in capsys.readouterr().out
    for wrong in (["--name", "x"], ["--key", "k.pem"], ["--new", "--certificates", "c.pem", "--key", "k.pem"]):
        assert cli.main(["identity", *wrong]) == 2
    assert cli.main(["provenance", str(path), "--trust", str(path)]) == 3
    assert cli.main(["provenance", str(material[1])]) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 5 and all(line.startswith("wav2lip-hq: ") for line in lines)


def test_a_mark_finds_its_manifest_again(me, material, tmp_path, capsys):
    """Detect reads the number from a file that lost its manifest; the archive knows which manifest names it."""
    import c2pa

    archive = tmp_path / "archive"
    (archive / "deeper").mkdir(parents=True)
    one, two = made(archive / "one.mp4"), made(archive / "deeper" / "two.mkv")
    signed(one, material, marks=("0badcafe", "00c0ffee"))
    signed(two, material, marks=("0badcafe",))
    signed(made(archive / "other.mp4"), material, marks=("12345678",))
    (archive / "broken.mp4").write_bytes(b"nothing")
    found = read(one)
    assert found.state == "valid" and found.marks == ("0badcafe", "00c0ffee")
    assert found.actions == ("c2pa.opened", "c2pa.edited", "c2pa.watermarked.bound")
    with one.open("rb") as file:
        whole = json.loads(c2pa.Reader("video/mp4", file, context=context()).json())
    bound = [a for a in whole["manifests"][whole["active_manifest"]]["assertions"] if "soft-binding" in a["label"]]
    assert [a["data"]["blocks"][0]["value"] for a in bound] == ["0badcafe", "00c0ffee"]
    assert [Path(f.file).name for f in provenance.find("0BADCAFE", archive)] == ["two.mkv", "one.mp4"]
    assert cli.main(["provenance", str(archive), "--find", "00c0ffee"]) == 0
    assert capsys.readouterr().out.count("one.mp4: valid") == 1
    assert cli.main(["provenance", str(archive), "--find", "ffffffff"]) == 11
    assert cli.main(["provenance", str(archive), "--find", "coffee"]) == 2
    assert cli.main(["provenance", str(one), "--find", "0badcafe"]) == 3
    assert capsys.readouterr().err.count("\n") == 3
