package cli

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy"
	"outrider/proxy/alarm"
	"outrider/proxy/alert"
	"outrider/proxy/egress"
	"outrider/proxy/intercept"
	"outrider/proxy/store"
	"outrider/proxy/telemetry"

	"github.com/google/uuid"
)

// env is the outside world, for the policies.
func (s *sidecar) env() policy.Env {
	return policy.Env{
		Transport: func(u *config.Upstream) (http.RoundTripper, error) {
			transport, err := s.upstreamWire(u)
			if err != nil {
				return nil, err
			}
			return s.telemetry.Transport(transport), nil
		},
		TokenTransport: s.tokenTransport,
		Keep:           s.storage.keep,
		Kept:           s.storage.kept,
		Jitter:         jitter,
		NewKey:         newKey,
		Secret:         s.secrets.get,
		Refused:        s.secrets.refused,
		Work:           s.telemetry.StartWork,
		Observe: func(ctx context.Context, e policy.Event) {
			s.telemetry.Observe(ctx, e)
			s.alarms.Observe(telemetry.TraceID(ctx), e)
		},
	}
}

// upstreamWire is the network side of an upstream.
func (s *sidecar) upstreamWire(u *config.Upstream) (*egress.Transport, error) {
	way, err := s.way(u.Egress)
	if err != nil {
		return nil, &settingError{"proxy", err}
	}
	return egress.New(egress.Settings{
		CAFile: u.CAFile, ClientCert: u.ClientCert, ClientKey: u.ClientKey,
		Guard: egress.NewOpenGuard(s.ours), Proxy: way, Open: s.telemetry.Connections(u.Name), Short: s.shortages.dialed,
	})
}

// tokenWire is that of a token endpoint. It has connections of its own.
func (s *sidecar) tokenWire(u *config.Upstream) (*egress.Transport, error) {
	way, err := s.way(u.Egress)
	if err != nil {
		return nil, &settingError{"upstream." + u.Name + ".proxy", err}
	}
	return egress.New(egress.Settings{Guard: egress.NewOpenGuard(s.ours), Proxy: way, Short: s.shortages.dialed})
}

// tokenTransport is the way to a token endpoint, traced.
func (s *sidecar) tokenTransport(u *config.Upstream) (http.RoundTripper, error) {
	transport, err := s.tokenWire(u)
	if err != nil {
		return nil, err
	}
	return s.telemetry.TokenTransport(transport, u.Name), nil
}

func jitter(max time.Duration) time.Duration {
	if max <= 0 {
		return 0
	}
	return mathrand.N(max)
}

// newKey mints an idempotency key: a UUID, version 7 (RFC 9562).
func newKey() string {
	if key, err := uuid.NewV7(); err == nil {
		return key.String()
	}
	return uuid.NewString()
}

// outside is the guarded way to hosts that no upstream names.
func (s *sidecar) outside(file *config.File) (proxy.Outside, error) {
	way, err := s.way(file.Egress)
	if err != nil {
		return proxy.Outside{}, fmt.Errorf("egress.proxy: %w", err)
	}
	guard := egress.NewGuard(file.Forward.AllowPrivate, s.ours)
	transport, err := egress.New(egress.Settings{Guard: guard, Proxy: way, Open: s.telemetry.Connections(""), Short: s.shortages.dialed})
	if err != nil {
		return proxy.Outside{}, err
	}
	return proxy.Outside{
		Transport: s.telemetry.Transport(transport),
		Dial:      egress.Dialer{Guard: guard, Proxy: way, Short: s.shortages.dialed}.Dial,
		DialUpstream: func(ctx context.Context, u *config.Upstream, network, address string) (net.Conn, error) {
			way, err := s.way(u.Egress)
			if err != nil {
				return nil, &egress.Error{Kind: egress.ProxyFailed, Addr: address, Err: err}
			}
			return egress.Dialer{Guard: egress.NewOpenGuard(s.ours), Proxy: way, Short: s.shortages.dialed}.Dial(ctx, network, address)
		},
	}, nil
}

// way is the proxy, if any, that our own connections go through.
func (s *sidecar) way(e config.Egress) (egress.ProxyFunc, error) {
	switch {
	case e.Proxy == config.ProxyEnvironment:
		return egress.EnvironmentProxy(os.Getenv, s.ours)
	case e.Proxy == config.ProxyDirect, e.Proxy == "":
		return nil, nil
	}
	raw := e.Proxy
	if ref := config.Reference(raw); ref.Scheme() != "" {
		var err error
		if raw, err = s.secrets.get(ref); err != nil {
			return nil, err
		}
	}
	var except []string
	if e.NoProxy != "" {
		except = strings.Split(e.NoProxy, ",")
	}
	return egress.FixedProxy(raw, except)
}

// checkFile finds out whether the proxy for hosts that no upstream names, the store's
// URL and key, and the notification URLs can be used, and whether upstreams are others than
// ourselves. What else belongs to an upstream is seen when it is compiled.
func (s *sidecar) checkFile(file *config.File) error {
	var errs []error
	for _, problem := range s.selfUpstreams(file) {
		errs = append(errs, errors.New(problem))
	}
	if _, err := s.way(file.Egress); err != nil {
		errs = append(errs, fmt.Errorf("egress.proxy: %w", err))
	}
	errs = append(errs, s.checkStoreReferences(file), s.checkCallbackKey(file.Outbox.CallbackKey), alarm.Check(file.Alerts, s.secrets.get))
	return errors.Join(errs...)
}

// checkStoreReferences finds out whether the store's URL and key are such.
func (s *sidecar) checkStoreReferences(file *config.File) error {
	var errs []error
	check := func(key string, ref config.Reference, get func(config.Reference) (string, error), problem func(string) error) {
		if ref == "" {
			return
		}
		value, err := get(ref)
		if err == nil {
			err = problem(value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	check("store.url", file.Store.URL, s.secrets.get, store.CheckURL)
	check("store.key", file.Store.Key, s.secrets.storeKey, store.CheckKey)
	return errors.Join(errs...)
}

// checkCallbackKey finds out whether callbacks can be signed with a key: if not, none would
// ever be sent. Whether it can be read, the policies say.
func (s *sidecar) checkCallbackKey(ref config.Reference) error {
	if ref == "" {
		return nil
	}
	if key, err := s.secrets.get(ref); err == nil {
		if err := alert.CheckSecret(key); err != nil {
			return fmt.Errorf("outbox.callback_key: %w", err)
		}
	}
	return nil
}

// A settingError is what is wrong with one setting of an upstream.
type settingError struct {
	key string
	err error
}

func (e *settingError) Error() string { return e.key + ": " + e.err.Error() }

func (e *settingError) Unwrap() error { return e.err }

// Key names the setting.
func (e *settingError) Key() string { return e.key }

// issuer gives the certificates under which the TLS of clients is opened. The
// local authority is made when it is needed first: who calls base URLs alone
// needs none, and may have no place for it.
func (s *sidecar) issuer(names []string) (proxy.Issuer, error) {
	dir, err := stateDir(s.file)
	if err != nil {
		return nil, err
	}
	return intercept.Open(dir).Issuer(names)
}
