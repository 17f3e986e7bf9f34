package alarm

import (
	"sync"
	"sync/atomic"
	"time"

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
	subjects map[string]time.Time // → when it was last so
}

// handshakes learns from a call whether there is TLS with its host.
func (a *Alarms) handshakes(r *telemetry.Record, now time.Time) {
	refused := refusedTLS(r)
	if !refused && !a.tls.some.Load() {
		return
	}
	subject := marked(r.Upstream, certificateMark, "with "+r.Host)
	if refused {
		if !a.tls.note(subject, now) {
			return
		}
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

// refusedTLS reports whether a call shows that the certificate of its host, or ours, is not
// taken. One whose handshake was broken off, or had no answer, shows that the host is down.
func refusedTLS(r *telemetry.Record) bool {
	if r.Problem != "upstream-tls" || len(r.Tries) == 0 {
		return false
	}
	kind := r.Tries[len(r.Tries)-1].Error
	return kind == "tls" || kind == "tls_failed"
}

// note reports whether there is room for it.
func (h *refusedHosts) note(subject string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subjects == nil {
		h.subjects = make(map[string]time.Time)
	}
	if _, known := h.subjects[subject]; !known && len(h.subjects) >= maxRefusedHosts {
		return false
	}
	h.subjects[subject] = now
	h.some.Store(true)
	return true
}

// maxRefusedHosts bounds them: a wildcard upstream has as many as its callers name.
const maxRefusedHosts = 1000

// forget reports whether it was one of them.
func (h *refusedHosts) forget(subject string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, was := h.subjects[subject]
	delete(h.subjects, subject)
	h.some.Store(len(h.subjects) > 0)
	return was
}

// refusedLasts is for how long a host is believed to be refused that nobody calls.
const refusedLasts = 24 * time.Hour

// A tlsLook ends what no call can end any more: its host is called no longer.
type tlsLook struct {
	book  *alert.Book
	hosts *refusedHosts
}

func (l tlsLook) look(_ []policy.UpstreamStatus, now time.Time) {
	for _, subject := range l.hosts.before(now.Add(-refusedLasts)) {
		if l.hosts.forget(subject) {
			l.book.Resolve(subject, certificateRefused)
		}
	}
}

// before lists those of which a call has told at a time, or before, and not since.
func (h *refusedHosts) before(at time.Time) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for subject, last := range h.subjects {
		if !last.After(at) {
			list = append(list, subject)
		}
	}
	return list
}
