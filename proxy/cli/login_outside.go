package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"outrider/policy"
	"outrider/policy/config"
)

// upstreamFor finds an upstream of the configuration, with what is needed to reach it
// and to keep its tokens. Nothing listens.
func (c *commands) upstreamFor(name string) (*sidecar, *config.Upstream, error) {
	_, _, file, err := c.file()
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(file.Upstreams, func(u config.Upstream) bool { return u.Name == name })
	if i < 0 {
		return nil, nil, usageError{fmt.Errorf("there is no [upstream.%s] in the configuration", name)}
	}
	s := &sidecar{file: file, secrets: newSecrets(), own: addressesOf(file)}
	s.storage = newStorage(file, s.secrets, slog.New(slog.DiscardHandler))
	return s, &file.Upstreams[i], nil
}

// addressesOf are those of the Outrider that runs by a configuration: the proxy
// variables of a shell may lead there, and a login must not go through it, which would
// put its own credential on.
func addressesOf(file *config.File) (addresses []netip.AddrPort) {
	for _, text := range []string{file.Listen, file.Admin} {
		address, err := net.ResolveTCPAddr("tcp", text)
		if err != nil {
			continue // a socket, which no variable can name
		}
		if address.IP == nil {
			address.IP = net.IPv6unspecified
		}
		addresses = append(addresses, address.AddrPort())
	}
	return addresses
}

// plainEnv is the outside world without spans, for a command that is no sidecar.
func (s *sidecar) plainEnv() policy.Env {
	return policy.Env{
		Transport: func(u *config.Upstream) (http.RoundTripper, error) {
			wire, err := s.upstreamWire(u)
			if err != nil {
				return nil, err
			}
			return wire, nil
		},
		TokenTransport: func(u *config.Upstream) (http.RoundTripper, error) {
			wire, err := s.tokenWire(u)
			if err != nil {
				return nil, err
			}
			return wire, nil
		},
		Keep:   s.keepNow,
		Jitter: jitter,
		Secret: s.secrets.get,
	}
}

// keepNow is where the tokens of a credential are kept. Who logs in does not do it for
// nothing: a store that is away now is an error.
func (s *sidecar) keepNow(credential string) (policy.Keeper, error) {
	if _, err := s.storage.open(context.Background()); err != nil {
		return nil, err
	}
	return s.storage.keep(credential)
}
