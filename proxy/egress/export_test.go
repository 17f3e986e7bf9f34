package egress

import (
	"crypto/x509"
	"net/http"
	"reflect"
	"time"
)

// ExchangeSize is what a call over HTTP/1.1 takes, in bytes.
var ExchangeSize = reflect.TypeFor[exchange]().Size()

// Trusting is p, verified with roots instead of the system's.
func (p *Proxy) Trusting(roots *x509.CertPool) *Proxy {
	q := *p
	q.roots = roots
	return &q
}

// Follows reports whether a call follows its context at once that gets connections after such
// times, until one is good.
func (t *Transport) Follows(req *http.Request, began time.Time, after ...time.Duration) bool {
	ex, err := t.begin(req)
	if err != nil {
		return false
	}
	defer func() { _ = ex.giveUp(nil) }()
	for _, d := range after {
		taken := began.Add(d).Sub(t.made)
		if ex.prepare(taken) != nil {
			return false
		}
		ex.watchEarly(taken) // as send does
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return ex.unwatch != nil
}
