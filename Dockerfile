# The program, what it trusts, and nothing else: no shell, no package manager, no root. For Kubernetes' restricted
# profile with a read-only root.
#   docker build -t outrigger .
#   docker run --read-only -v "$PWD/policy:/etc/outrigger:ro" -p 4401:4401 outrigger
# Mount the directory of the policy, not the file: a mounted file never changes.

FROM rust:1.95-bookworm AS build
# The time of all files; `--build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)` makes the image of a commit the same
# wherever it is built.
ARG SOURCE_DATE_EPOCH=0
WORKDIR /build
COPY . .
# deploy/chroot-proof.sh runs what this makes, without an engine.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    deploy/image-root.sh /image

FROM scratch
LABEL org.opencontainers.image.title="outrigger" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/ /
# A copied directory keeps its owner only if it is said again: `--state-dir /var/lib/outrigger`, and the stores.
COPY --from=build --chown=65532:65532 /image/var/lib/outrigger /var/lib/outrigger
USER 65532:65532
# 4400 outbound, 4401 inbound, 4491 metrics and probes. The admin API (4490) stays on the Pod's loopback.
EXPOSE 4400 4401 4491
ENTRYPOINT ["/outrigger"]
CMD ["run", "--policy", "/etc/outrigger/policy.yaml"]
