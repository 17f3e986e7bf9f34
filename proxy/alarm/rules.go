package alarm

import (
	"slices"
	"strings"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/alert"
)

// Rules are all that there are. docs/telemetry.md says of each when it tells.
func Rules() []alert.Rule {
	return slices.Concat(credentialRules, circuitRules, outboxRules, []alert.Rule{
		quotaExhausted, quotaLow, throttled, errorsHigh,
		credentialExpiring, certificateExpiring, certificateRefused,
		providerNotice, reloadRefused, clockSkew,
		quietFailures, resultsEmpty, volumeDropped,
	})
}

// overrides are what a configuration has of rules, for the book.
func overrides(rules []config.AlertRule) map[string]alert.Override {
	all := make(map[string]alert.Override)
	for _, r := range rules {
		all[r.Name] = alert.Override{Off: r.Off, After: r.After}
	}
	return all
}

// quietHours are those that a configuration has, for the curfew.
func quietHours(a config.Alerts) map[string]alert.Hours {
	zone := time.Local
	if a.Zone != "" {
		if named, err := time.LoadLocation(a.Zone); err == nil { // config has looked at it
			zone = named
		}
	}
	all := make(map[string]alert.Hours)
	for _, r := range a.Rules {
		if r.Quiet != (config.Quiet{}) {
			all[r.Name] = alert.Hours{From: time.Duration(r.Quiet.From) * time.Minute, To: time.Duration(r.Quiet.To) * time.Minute, Zone: zone}
		}
	}
	return all
}

// The subjects of alerts. One about an upstream begins with its name, and after that there
// is a credential, or one of these marks, which no name of a credential begins with. One
// about Outrider itself has a blank, which no name of an upstream has.
const (
	quotaMark       = "quota:"
	lowMark         = "low:"
	circuitMark     = "circuit:"
	callsMark       = "calls"
	endMark         = "end:"
	certificateMark = "certificate:"
	noticeMark      = "notice:"
	quietMark       = "quiet"
	resultsMark     = "results:"
	volumeMark      = "volume:"
	lettersMark     = "letters:"

	configurationSubject = "the configuration"
	clockSubject         = "the clock"
	authoritySubject     = "the local authority"
	outboxSubject        = "the outbox"
)

// lookedAt are the marks of what looks tell of: the next one says whether it is over.
var lookedAt = []string{lowMark, circuitMark, callsMark, endMark, certificateMark, noticeMark, quietMark, volumeMark}

// marked names what an upstream's alert is about that is no credential.
func marked(upstream, mark, what string) string { return upstream + "/" + mark + what }

// quotaSubject names a quota in alerts.
func quotaSubject(upstream, key string) string { return marked(upstream, quotaMark, key) }

// subjectOf names a credential in alerts.
func subjectOf(upstream, credential string) string {
	if credential == "default" {
		return upstream
	}
	return upstream + "/" + credential
}

// about reports whether a configuration has what an alert is about, after another one,
// which may be nil: a connection that stood there, and stands here no more, is not one of
// the store.
func about(set, before *policy.Set) func(subject string) bool {
	return func(subject string) bool {
		upstream, credential, named := strings.Cut(subject, "/")
		if strings.Contains(upstream, " ") || strings.HasPrefix(credential, lettersMark) { // letters outlive their upstream
			return true
		}
		if !named {
			credential = "default"
		}
		u, there := set.ByName(upstream)
		if slices.ContainsFunc(lookedAt, func(mark string) bool { return strings.HasPrefix(credential, mark) }) {
			return there
		}
		if key, quota := strings.CutPrefix(credential, quotaMark); quota {
			return there && u.Exhausted(key)
		}
		if endpoint, results := strings.CutPrefix(credential, resultsMark); results {
			return there && u.Emptied(endpoint)
		}
		if !there || !u.Fetches(credential) {
			return false
		}
		if before == nil {
			return true
		}
		was, known := before.ByName(upstream)
		return u.Configures(credential) || !known || !was.Configures(credential)
	}
}
