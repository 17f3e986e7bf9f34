package egress

import (
	"crypto/x509"
	"reflect"
)

// ExchangeSize is what a call over HTTP/1.1 takes, in bytes.
var ExchangeSize = reflect.TypeFor[exchange]().Size()

// Trusting is p, verified with roots instead of the system's.
func (p *Proxy) Trusting(roots *x509.CertPool) *Proxy {
	q := *p
	q.roots = roots
	return &q
}
