# purser, to be run with its data and secret on a volume: docker compose up --build
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p api

FROM debian:bookworm-slim
# A fixed number, so that files on a mounted folder can be given to it.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/purser --shell /usr/sbin/nologin purser \
    && chmod 0700 /var/lib/purser
COPY --from=build /src/target/release/purser /usr/local/bin/purser
COPY config/production.toml /etc/purser/production.toml
USER 10001
WORKDIR /var/lib/purser
VOLUME /var/lib/purser
EXPOSE 8080
# Alive, not ready: a server whose database is away for a while still answers from what it knows, and goes on by itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3; grep -q '^HTTP/1.[01] 200' <&3"]
ENTRYPOINT ["purser"]
CMD ["--config", "/etc/purser/production.toml"]
