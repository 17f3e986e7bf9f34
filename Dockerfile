# A static binary and nothing else: no shell, no package manager, no root.
# The CA roots are in the binary (x509roots/fallback); a mounted
# /etc/ssl/certs/ca-certificates.crt is used in their place.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# What `outrider version` says: without .git, the build knows of none by itself.
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags="-s -w -X outrider/proxy/cli.stamped=$VERSION" -o /out/outrider . \
 && mkdir -p /out/etc/outrider /out/var/lib/outrider \
 && cp config.toml /out/etc/outrider/config.toml

FROM scratch
COPY --from=build /out/outrider /outrider
COPY --from=build /out/etc/outrider /etc/outrider
COPY --from=build --chown=65532:65532 /out/var/lib/outrider /var/lib/outrider
ENV XDG_STATE_HOME=/var/lib
USER 65532:65532
VOLUME /var/lib/outrider
# No EXPOSE: it listens on loopback, in the network namespace of the application.
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s CMD ["/outrider", "status"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/outrider"]
CMD ["run"]
