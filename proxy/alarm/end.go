package alarm

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/alert"
)

// The rules of alerts about what ends, and cannot be renewed by us.
var (
	credentialExpiring = alert.Rule{Name: "credential-expiring", Severity: alert.Warning}
	// Of several machines behind one name, one may show another certificate than the rest.
	certificateExpiring = alert.Rule{Name: "certificate-expiring", Severity: alert.Warning, Settle: time.Hour}
)

const (
	// endAhead is how long before an end somebody is told: a week, or endShare of the whole
	// time where that is less.
	endAhead = 7 * 24 * time.Hour
	endShare = 0.2
	// endEvery is how often ends are looked at: files and connections are read for it.
	endEvery = time.Minute
)

// isNear reports whether an end is near, or over. begun is zero where it is not known.
func isNear(begun, end, now time.Time) bool {
	ahead := endAhead
	if !begun.IsZero() {
		ahead = min(ahead, time.Duration(endShare*float64(end.Sub(begun))))
	}
	return end.Sub(now) <= ahead
}

// whenText says how far away an end is.
func whenText(end, now time.Time) string {
	day := end.UTC().Format("2006-01-02 15:04 MST")
	switch left := end.Sub(now); {
	case left <= 0:
		return "ended on " + day
	case left < 48*time.Hour:
		return fmt.Sprintf("ends in %d hours, on %s", int(left/time.Hour), day)
	default:
		return fmt.Sprintf("ends in %d days, on %s", int(left/(24*time.Hour)), day)
	}
}

// An endLook tells of credentials and certificates that are about to end.
type endLook struct {
	book      *alert.Book
	upstreams func() []*policy.Upstream
	authority func() *x509.Certificate // the local one; nil: there is none that can be used

	next   time.Time                    // when it looks again
	raised map[string]alert.Rule        // subject → the rule that was told of it
	root   *x509.Certificate            // of the authority, when there was one last: one that has ended cannot be used
	files  map[string]*x509.Certificate // client certificate → what was in the file when it came into use; nil: it cannot be read
}

func newEndLook(book *alert.Book, upstreams func() []*policy.Upstream, authority func() *x509.Certificate) *endLook {
	return &endLook{book: book, upstreams: upstreams, authority: authority, raised: make(map[string]alert.Rule), files: make(map[string]*x509.Certificate)}
}

func (l *endLook) look(_ []policy.UpstreamStatus, now time.Time) {
	if now.Before(l.next) {
		return
	}
	l.next = now.Add(endEvery)
	near := make(map[string]alert.Rule)
	raise := func(rule alert.Rule, t alert.Trouble) {
		near[t.Subject] = rule
		l.book.Raise(rule, t)
	}
	for _, u := range l.upstreams() {
		for _, end := range u.Ends() {
			if isNear(end.Begun, end.At, now) {
				raise(credentialExpiring, endTrouble(u.Config.Name, end, now))
			}
		}
		for _, c := range u.Certificates() {
			if isNear(c.Begin, c.End, now) {
				raise(certificateExpiring, alert.Trouble{
					Subject: marked(u.Config.Name, certificateMark, c.Host),
					Title:   "The certificate of " + c.Host + " " + whenText(c.End, now),
					Detail:  "calls of " + u.Config.Name + " fail when it has ended",
					Action:  "Nothing, if the provider renews it in time; else tell them, for it is theirs.",
				})
			}
		}
		if c := l.client(u.Config); c != nil && isNear(c.NotBefore, c.NotAfter, now) {
			raise(certificateExpiring, alert.Trouble{
				Subject: marked(u.Config.Name, certificateMark, "client_cert"),
				Title:   "The client certificate of " + u.Config.Name + " " + whenText(c.NotAfter, now),
				Detail:  "it is the one in " + u.Config.ClientCert + ", as it was when it came into use",
				Action:  "Put another into upstream." + u.Config.Name + ".client_cert and client_key, and restart Outrider.",
			})
		}
	}
	if c := l.authority(); c != nil {
		l.root = c
	}
	if c := l.root; c != nil && isNear(c.NotBefore, c.NotAfter, now) {
		raise(certificateExpiring, alert.Trouble{
			Subject: authoritySubject, Title: "The local certificate authority " + whenText(c.NotAfter, now),
			Detail: "https:// calls through the proxy are not opened after that",
			Action: "Move the directory ca of the state directory away, restart Outrider, which makes a new one, and have clients trust that: outrider ca trust.",
		})
	}
	for subject, rule := range l.raised {
		if _, still := near[subject]; !still {
			l.book.Resolve(subject, rule)
		}
	}
	l.raised = near
}

// client is the client certificate of an upstream, as it was when it was first seen: a
// file that is renewed is not read again before a restart. nil: there is none that can be
// read.
func (l *endLook) client(u *config.Upstream) *x509.Certificate {
	if u.ClientCert == "" {
		return nil
	}
	c, known := l.files[u.ClientCert]
	if !known {
		c = readCertificate(u.ClientCert)
		l.files[u.ClientCert] = c
	}
	return c
}

// readCertificate reads the first certificate of a PEM file; nil: there is none.
func readCertificate(path string) *x509.Certificate {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil
		}
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil
			}
			return c
		}
	}
}

func endTrouble(upstream string, end policy.End, now time.Time) alert.Trouble {
	action := "Put another one where the configuration reads it, and its end into expires."
	name, connection := strings.CutPrefix(end.Credential, policy.ConnectionCredential(""))
	switch {
	case end.Login != "":
		action = "Run " + end.Login + " before that."
	case connection:
		action = "Give the connection " + name + " another one before that."
	case end.Credential == "passthrough":
		action = "Give another one to the application that brings it."
	}
	return alert.Trouble{
		Subject: marked(upstream, endMark, cmp.Or(end.What, "credential")+" of "+end.Credential),
		Title:   fmt.Sprintf("The %s of %s %s", end.What, ownerOf(upstream, end.Credential), whenText(end.At, now)),
		Detail:  "by " + end.Source + "; nothing of it can be refreshed",
		Action:  action,
	}
}
