package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"golang.org/x/time/rate"
)

// newTransport keeps enough idle connections for every load here: the default of two for
// a host would make it handshake all the time.
func newTransport(roots string) (*http.Transport, error) {
	pem, err := os.ReadFile(roots)
	if err != nil {
		return nil, fmt.Errorf("reading the roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", roots)
	}
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
		MaxIdleConns:        4096,
		MaxIdleConnsPerHost: 4096,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}, nil
}

// chain is retry(limit(circuit(traced wire))): a span for each attempt.
func chain(wire http.RoundTripper) http.RoundTripper {
	circuit := gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:       "upstream",
		Interval:   30 * time.Second,
		Timeout:    5 * time.Second,
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) }, // the client went away
	})
	return retry{limited{rate.NewLimiter(1_000_000, 100_000), guarded{circuit, otelhttp.NewTransport(wire)}}}
}

// A limited transport waits for its turn.
type limited struct {
	limiter *rate.Limiter
	next    http.RoundTripper
}

func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := l.limiter.Wait(req.Context()); err != nil {
		return nil, err
	}
	return l.next.RoundTrip(req)
}

// A guarded transport asks its circuit before it sends, and tells it how that went.
type guarded struct {
	circuit *gobreaker.TwoStepCircuitBreaker[any]
	next    http.RoundTripper
}

var errFault = errors.New("the upstream failed")

func (g guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	done, err := g.circuit.Allow()
	if err != nil {
		return nil, err
	}
	resp, err := g.next.RoundTrip(req)
	switch {
	case err != nil:
		done(err)
	case resp.StatusCode >= 500:
		done(errFault)
	default:
		done(nil)
	}
	return resp, err
}

// attempts is how often a request is sent in all.
const attempts = 3

// A retry sends a request again that has no body, after a random pause.
type retry struct{ next http.RoundTripper }

func (r retry) RoundTrip(req *http.Request) (*http.Response, error) {
	pause := 100 * time.Millisecond
	for attempt := 1; ; attempt++ {
		resp, err := r.next.RoundTrip(req)
		failed := err != nil || resp.StatusCode >= 500
		if !failed || attempt == attempts || req.Body != nil && req.Body != http.NoBody {
			return resp, err
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
		pause *= 2
	}
}
