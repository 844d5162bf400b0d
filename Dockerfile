# dauphin from source, for machines that reach a registry: docker build -t dauphin/dauphin:dev .
ARG RUST_IMAGE=rust:1-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin dauphin

FROM ${RUNTIME_IMAGE}
COPY --from=build /src/target/release/dauphin /usr/local/bin/dauphin
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# The certificate that dauphin makes for its clients is kept there.
RUN install -d -o 6033 -g 6033 -m 700 /var/lib/dauphin
USER 6033
EXPOSE 6033
ENTRYPOINT ["/usr/local/bin/dauphin"]
