package alarm

import (
	"strings"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// The rules of alerts about credentials that are fetched.
var (
	credentialDead    = alert.Rule{Name: "credential-dead", Severity: alert.Critical}
	credentialRefused = alert.Rule{Name: "credential-refused", Severity: alert.Critical}
	credentialFailing = alert.Rule{Name: "credential-failing", Severity: alert.Critical, Patience: 5 * time.Minute, Least: 2}
	credentialNotKept = alert.Rule{Name: "credential-not-kept", Severity: alert.Critical}

	credentialRules = []alert.Rule{credentialDead, credentialRefused, credentialFailing, credentialNotKept}
)

// refreshed learns from how a token request has ended.
func (a *Alarms) refreshed(e policy.Event) {
	subject := subjectOf(e.Upstream, e.Key)
	who := ownerOf(e.Upstream, e.Key)
	trouble := alert.Trouble{Subject: subject}
	if e.Err != nil {
		trouble.Detail = strings.ReplaceAll(e.Err.Error(), "\n", "; ") // there may be two
	}
	switch e.Reason {
	case "removed":
		a.book.Resolve(subject, credentialDead, credentialRefused, credentialFailing, credentialNotKept)
	case "ok":
		if e.From == "save" { // nothing was asked for
			a.book.Resolve(subject, credentialNotKept)
			return
		}
		a.book.Resolve(subject, credentialRules...)
	case "not-kept":
		a.book.Resolve(subject, credentialDead, credentialRefused, credentialFailing)
		trouble.Title = "The tokens of " + who + " are in memory only"
		trouble.Action = "See to the store (outrider status names it): a restart before that would lose the connection."
		a.book.Raise(credentialNotKept, trouble)
	case "dead":
		a.book.Resolve(subject, credentialRefused, credentialFailing)
		trouble.Title, trouble.Action = "Reconnect "+who, a.mend(e.Upstream, e.Key)
		a.book.Raise(credentialDead, trouble)
	case "refused":
		a.book.Resolve(subject, credentialDead, credentialFailing)
		trouble.Title = "The credential of " + who + " is not accepted"
		trouble.Action = "Compare client, secret and scopes with what the provider has; the configuration is read again for the next try."
		a.book.Raise(credentialRefused, trouble)
	default:
		trouble.Title = "The tokens of " + who + " cannot be refreshed"
		trouble.Action = "Look whether the token endpoint can be reached from here, and at the provider's status page; it is tried again by itself."
		a.book.Raise(credentialFailing, trouble)
	}
}

// ownerOf names a credential in titles.
func ownerOf(upstream, credential string) string {
	if credential == "default" {
		return upstream
	}
	return upstream + " (" + credential + ")"
}

// mend says how somebody gives a credential another grant.
func (a *Alarms) mend(upstream, credential string) string {
	a.mu.Lock()
	set := a.live
	a.mu.Unlock()
	if set != nil {
		if u, ok := set.ByName(upstream); ok && u.Login(credential) != "" {
			return "Run " + u.Login(credential) + "."
		}
	}
	if name, connection := strings.CutPrefix(credential, policy.ConnectionCredential("")); connection {
		return "Hand the connection " + name + " over again (outrider connections), with what its customer agrees to anew."
	}
	return "Put a new one where the configuration reads it: a file is read again within seconds, the environment at the next start."
}

// metCredential tells the alerts that a call met which had no live token.
func (a *Alarms) metCredential(r *telemetry.Record) func(alert.Alert) bool {
	subject := subjectOf(r.Upstream, a.credentialOf(r))
	return func(met alert.Alert) bool { return isOneOf(credentialRules, met.Rule) && met.Subject == subject }
}

// credentialOf names the credential of a call.
func (a *Alarms) credentialOf(r *telemetry.Record) string {
	if r.Connection != "" {
		return policy.ConnectionCredential(r.Connection)
	}
	a.mu.Lock()
	set := a.live
	a.mu.Unlock()
	if set != nil {
		if u, ok := set.ByName(r.Upstream); ok {
			for _, plan := range u.Plans() {
				if plan.Match == r.Rule {
					return plan.Credential
				}
			}
		}
	}
	return "default"
}

func isOneOf(rules []alert.Rule, name string) bool {
	for _, r := range rules {
		if r.Name == name {
			return true
		}
	}
	return false
}
