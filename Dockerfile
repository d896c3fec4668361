# Two images of the command line:
#   docker build --target cpu  -t wav2lip-hq:cpu  .
#   docker build --target cuda -t wav2lip-hq:cuda .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" wav2lip-hq:cpu run face.mp4 speech.wav out.mp4
# The CUDA image needs NVIDIA's container toolkit on the host, and --gpus all.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS base
# What OpenCV's wheel expects of the system; everything else, FFmpeg's libraries too, comes in wheels.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/wav2lip_hq/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# The versions of requirements.lock, without its hashes, which would have to name every build of torch.
FROM base AS build
WORKDIR /source
RUN python -m venv /opt/wav2lip_hq && pip install --no-cache-dir uv==0.13.9
COPY requirements.lock ./
RUN sed -n 's/^\([A-Za-z0-9._-]*==[^\\]*[^ \\]\).*/\1/p' requirements.lock > /versions.txt
COPY pyproject.toml README.md LICENSE ./
COPY pipelines pipelines
COPY checkpoints checkpoints
COPY wav2lip_hq wav2lip_hq

FROM build AS build-cpu
RUN uv pip install --no-cache --python /opt/wav2lip_hq/bin/python --torch-backend cpu torch==2.13.0 torchvision==0.28.0 \
    && pip install --no-cache-dir setuptools==84.2.1 \
    && pip install --no-cache-dir --no-build-isolation --no-deps --constraint /versions.txt basicsr \
    && pip install --no-cache-dir --constraint /versions.txt .

FROM build AS build-cuda
RUN pip install --no-cache-dir torch==2.13.0 torchvision==0.28.0 setuptools==84.2.1 \
    && pip install --no-cache-dir --no-build-isolation --no-deps --constraint /versions.txt basicsr \
    && pip install --no-cache-dir --constraint /versions.txt .

FROM base AS run
LABEL org.opencontainers.image.title="wav2lip_hq" \
      org.opencontainers.image.licenses="Apache-2.0"
# Weights that are fetched or imported are kept in a volume; footage is mounted at /work.
ENV HOME=/tmp \
    WAV2LIP_HQ_CHECKPOINTS=/checkpoints
RUN useradd --create-home --uid 1000 dub && mkdir /work /checkpoints && chown dub /work /checkpoints
WORKDIR /work
VOLUME ["/checkpoints"]
USER 1000
ENTRYPOINT ["wav2lip-hq"]
CMD ["--help"]

FROM run AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /opt/wav2lip_hq /opt/wav2lip_hq

# The last one is what a build without --target makes.
FROM run AS cpu
COPY --from=build-cpu /opt/wav2lip_hq /opt/wav2lip_hq
