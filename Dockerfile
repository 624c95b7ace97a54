# syntax=docker/dockerfile:1
# Baton, built from this repository. The functions are not in it: docs/containers.md shows an image of a
# project on top of this one.

FROM rust:1.95-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# The source of V8's prebuilt library, if not GitHub.
ARG RUSTY_V8_MIRROR
ENV CARGO_TARGET_DIR=/target
# The caches outlive the layer: the second build compiles what changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    bin/release \
    && install -D /target/shipping/baton /out/baton

FROM debian:bookworm-slim
# git says which commit is served; ca-certificates and zlib are what functions and the binary rely on.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home baton \
    && install -d -o baton -g baton /app /var/lib/baton
COPY --from=build /out/baton /usr/local/bin/baton
USER 10001:10001
WORKDIR /app
ENV PORT=3111 \
    BATON_HOST=0.0.0.0 \
    BATON_STATE_DIR=/var/lib/baton \
    BATON_CODE_CACHE=/var/lib/baton/code
VOLUME /var/lib/baton
EXPOSE 3111
# Checks that the host answers. Code that does not load is a matter of /-/ready, and no reason to restart the host.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["baton", "status"]
# SIGTERM finishes the calls: let it, `docker stop -t 7260`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["baton"]
CMD ["start"]
