FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release -p api

FROM debian:bookworm-slim
RUN useradd --system --create-home --home-dir /var/lib/purser purser
COPY --from=build /src/target/release/purser /usr/local/bin/purser
COPY config/production.toml /etc/purser/production.toml
USER purser
WORKDIR /var/lib/purser
EXPOSE 8080
ENTRYPOINT ["purser"]
