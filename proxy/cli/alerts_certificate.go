package cli

import (
	"sync"
	"sync/atomic"

	"outrider/policy"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// certificateRefused is a host with which there is no TLS: its certificate is not trusted,
// has ended, or is for another name; or it does not take ours. One handshake may fail by
// chance.
var certificateRefused = alert.Rule{Name: "certificate-refused", Severity: alert.Critical, Least: 3}

// refusedHosts are those that a call could have no TLS with, until one could.
type refusedHosts struct {
	some atomic.Bool // all that a call looks at while there are none

	mu       sync.Mutex
	subjects map[string]bool
}

// handshakes learns from a call whether there is TLS with its host.
func (a *alarms) handshakes(r *telemetry.Record) {
	refused := r.Problem == "upstream-tls"
	if !refused && !a.tls.some.Load() {
		return
	}
	subject := marked(r.Upstream, certificateMark, "with "+r.Host)
	if refused {
		a.tls.note(subject)
		a.book.Raise(certificateRefused, alert.Trouble{
			Subject: subject, Trace: r.TraceID,
			Title:  "No trusted TLS with " + r.Host,
			Detail: r.Error,
			Action: "Look at the certificate (openssl s_client -connect HOST:443). If it is of an authority of your own: upstream." + r.Upstream + ".ca_file.",
		})
		a.book.Meet(r.TraceID, func(met alert.Alert) bool { return met.Rule == certificateRefused.Name && met.Subject == subject })
		return
	}
	if r.Class != policy.ClassLocal && r.Class != policy.ClassClientGone && r.Status > 0 && r.Attempts > 0 && a.tls.forget(subject) {
		a.book.Resolve(subject, certificateRefused)
	}
}

func (h *refusedHosts) note(subject string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subjects == nil {
		h.subjects = make(map[string]bool)
	}
	if len(h.subjects) < maxRefusedHosts {
		h.subjects[subject] = true
	}
	h.some.Store(true)
}

// maxRefusedHosts bounds them: a wildcard upstream has as many as its callers name.
const maxRefusedHosts = 1000

// forget reports whether it was one of them.
func (h *refusedHosts) forget(subject string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.subjects[subject]
	delete(h.subjects, subject)
	h.some.Store(len(h.subjects) > 0)
	return was
}
