package policy

import (
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"
)

// A CertificateSighting is a certificate that a host showed.
type CertificateSighting struct {
	Host       string
	Begin, End time.Time
}

// certificates are the latest that hosts showed. Each host is looked at for itself: one that
// is called rarely is not to be missed beside one that is called without end.
type certificates struct {
	latest atomic.Pointer[shownCertificate]

	mu    sync.RWMutex
	known map[string]*shownCertificate // host →
}

type shownCertificate struct {
	host   string
	glance atomic.Int64 // Unix nanoseconds: before that it is not looked at again
	CertificateSighting
	last time.Time
}

// certificateLasts is how long a certificate is believed of a host that nobody calls: by the
// time that it ends there may be another, and nobody who needs it.
const certificateLasts = 24 * time.Hour

// seen reports whether the certificate of a host is the one that was looked at last, and
// that of late.
func (c *certificates) seen(host string, at int64) bool {
	latest := c.latest.Load()
	return latest != nil && latest.host == host && at < latest.glance.Load()
}

func (c *certificates) see(host string, state *tls.ConnectionState, now time.Time) {
	c.mu.RLock()
	known, full := c.known[host], len(c.known) >= maxSightings
	c.mu.RUnlock()
	if known == nil && full || known != nil && now.UnixNano() < known.glance.Load() || len(state.PeerCertificates) == 0 {
		return
	}
	leaf := state.PeerCertificates[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	if known = c.known[host]; known == nil {
		if c.known == nil {
			c.known = make(map[string]*shownCertificate)
		}
		known = &shownCertificate{host: host}
		c.known[host] = known
	}
	known.CertificateSighting, known.last = CertificateSighting{Host: host, Begin: leaf.NotBefore, End: leaf.NotAfter}, now
	known.glance.Store(now.Add(glanceEvery).UnixNano())
	c.latest.Store(known)
}

// believed lists those that are, and forgets the others.
func (c *certificates) believed(now time.Time) []CertificateSighting {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]CertificateSighting, 0, len(c.known))
	for host, known := range c.known {
		if now.Sub(known.last) >= certificateLasts {
			delete(c.known, host)
			continue
		}
		list = append(list, known.CertificateSighting)
	}
	return list
}

// Certificates lists those that hosts of the upstream showed of late.
func (u *Upstream) Certificates() []CertificateSighting {
	return u.seen.certificates.believed(time.Now())
}
