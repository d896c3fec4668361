"""Command lines with typical mistakes, one a line; some of them just work."""

from __future__ import annotations

import shlex

WORDS = {
    "LONG": "a" * 300,
    "ENDLESS": "a" * 5000,
    "DIGITS": "9" * 5000,
    "DEEP": "[" * 3000,
    "BROKEN": "\ud800",
    "PERCENT": "%d" * 40,
    "NEWLINE": "a\nb",
}
LINES = """
RUN --set 'x=[1'
RUN --set 'detect.threshold=!!int x'
RUN --set detect.threshold=nan
RUN --set detect.threshold=DEEP
RUN --set blend=1
RUN --set .=.
RUN --set =
RUN --set detect.=1
RUN --set detect.model=ENDLESS
RUN --set detect.model=BROKEN
RUN --set detect.model=NEWLINE
RUN --set detect.model=/dev/zero
RUN --set detect.model=~nobody/x
RUN --set parse.model=embedded-detector
RUN --set track.faces=99999
RUN --set track.faces=left-to-right:999
RUN --set track.reference=/nowhere.png
RUN --set articulate.expression=1e999
RUN --set 'admit.max_yaw={a: 1}'
RUN --set blend.x=DIGITS
RUN --crf -7
RUN --crf 9999
RUN --crf 1.5
RUN --fps nan
RUN --fps inf
RUN --fps 1e9
RUN --fps 0
RUN --sync-offset nan
RUN --sync-offset soon
RUN --encoder-preset warp
RUN --codec mpeg9
RUN --codec png
RUN --pix-fmt yuv999
RUN --pix-fmt pal8
RUN --chunk-size 0
RUN --chunk-size 1e99
RUN --sound /nowhere.wav
RUN --sound FOLDER
RUN --survey FACE
RUN --survey /nowhere
RUN --device tpu
RUN --device cuda:99
RUN --precision int1
RUN --batch-size 0
RUN --batch-size a
RUN --batch-size DIGITS
RUN --preview -1
RUN --preview 999999999
RUN --explain -1
RUN --max-megapixels 0
RUN --max-megapixels 0.0001
RUN --preset LONG
RUN --preset BROKEN
RUN --preset ../x.yaml
RUN --preset FOLDER
RUN --preset ''
RUN --replace parse=os:system
RUN --replace parse=no.such:Thing
RUN --replace parse
RUN --replace 'parse={'
RUN --insert-after =x
RUN --without nothing
RUN --without detect
RUN --audio left
RUN --extend bounce
run FACE WAV FOLDER/LONG.mp4
run FACE WAV FOLDER/BROKEN.mp4
run FACE WAV /dev/null
run FACE WAV FOLDER/none/o.mp4
run FACE WAV FACE
run FACE WAV FOLDER/o.xyz
run FACE WAV FOLDER/link.mp4
run FACE WAV FOLDER/fifo.mp4
run FOLDER/fifo.mp4 WAV FOLDER/o.mp4
run FACE FOLDER/fifo.mp4 FOLDER/o.mp4
run FOLDER WAV FOLDER/o.mp4
run '' '' ''
run FACE
run BROKEN WAV FOLDER/o.mp4
run ENDLESS WAV FOLDER/o.mp4
run PERCENT WAV FOLDER/o.mp4
run /proc/self/mem WAV FOLDER/o.mp4
run /dev/zero WAV FOLDER/o.mp4
run WAV WAV FOLDER/o.mp4
run FACE FACE FOLDER/o.mp4 --audio left=WAV
survey FACE --out /nowhere/x.npz
survey FACE --sheet FOLDER/fifo.mp4
survey nothing
options nothing
options train.nothing
options BROKEN
options os:system
checkpoints fetch ../../x
checkpoints fetch LONG
checkpoints verify LONG
checkpoints import FACE
checkpoints import ENDLESS
checkpoints import FOLDER
checkpoints import FACE --name LONG
checkpoints import FACE --name ../x
checkpoints import FACE --arch x
train generator --set x
train generator --set steps=nan
train generator /nowhere.yaml
train generator ENDLESS
train generator --minutes nan
train detector FACE
train evaluate nothing
train prepare /nowhere FOLDER
train resync /nowhere
train embed /nowhere x
personalize --video /nowhere --name a/b
demo --out FACE
batch plan FACE
batch plan /nowhere
"""


def mistakes(face: str, wav: str, folder: str) -> list[list[str]]:
    """Each line as arguments, for a good face and speech, and a folder with "fifo.mp4" and "link.mp4" in it."""
    words = {"FOLDER": folder, "FACE": face, "WAV": wav, **WORDS}

    def meant(word: str) -> str:
        for name, value in words.items():
            word = word.replace(name, value)
        return word

    lines = LINES.replace("RUN ", "run FACE WAV FOLDER/o.mp4 ").strip().splitlines()
    return [[meant(word) for word in shlex.split(line)] for line in lines]
