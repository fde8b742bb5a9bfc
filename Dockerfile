# The program alone: no shell, no package manager, no root. For Kubernetes' restricted profile with a read-only root.
#   docker build -t outrigger .
#   docker run --read-only -v "$PWD/policy:/etc/outrigger:ro" -p 4401:4401 outrigger
# Mount the directory of the policy, not the file: a mounted file never changes.

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# Linked statically. Names are resolved by hickory-resolver, so glibc's own resolver, which wants shared libraries at
# run time, is never the first choice; deploy/chroot-proof.sh runs this very binary in an empty root.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    target="$(rustc --print host-tuple)" \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$target" \
    && install -D -m 0555 "target/$target/release/outrigger" /image/outrigger \
    && install -d /image/state

FROM scratch
LABEL org.opencontainers.image.title="outrigger" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/outrigger /outrigger
# The change journal's place, if `--state-dir /var/lib/outrigger` is given and a volume mounted.
COPY --from=build --chown=65532:65532 /image/state /var/lib/outrigger
USER 65532:65532
# 4400 outbound, 4401 inbound, 4491 metrics and probes. The admin API (4490) stays on the Pod's loopback.
EXPOSE 4400 4401 4491
ENTRYPOINT ["/outrigger"]
CMD ["run", "--policy", "/etc/outrigger/policy.yaml"]
