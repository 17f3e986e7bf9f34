package egress

import "crypto/x509"

// Trusting is p, verified with roots instead of the system's.
func (p *Proxy) Trusting(roots *x509.CertPool) *Proxy {
	q := *p
	q.roots = roots
	return &q
}
