package alarm

import (
	"cmp"
	"strings"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
)

// providerNotice is an endpoint of which the provider says that it will not last, or warns.
var providerNotice = alert.Rule{Name: "provider-notice", Severity: alert.Warning}

// A noticeLook ends what no answer has said for long. Events tell of what is new.
type noticeLook struct {
	book      *alert.Book
	upstreams func() []*policy.Upstream
	raised    map[string]bool // subjects
}

func (l *noticeLook) look(_ []policy.UpstreamStatus, _ time.Time) {
	said := make(map[string]bool)
	for _, u := range l.upstreams() {
		for _, n := range u.Notices() {
			trouble := noticeTrouble(u.Config.Name, n, "")
			said[trouble.Subject] = true
			l.book.Raise(providerNotice, trouble)
		}
	}
	for subject := range l.raised {
		if !said[subject] {
			l.book.Resolve(subject, providerNotice)
		}
	}
	l.raised = said
}

// noticeTrouble is what a provider says, as an alert. trace is that of the call whose answer
// said it first; "": that is not known any more.
func noticeTrouble(upstream string, n policy.NoticeSighting, trace string) alert.Trouble {
	title := n.Endpoint + " has a warning"
	switch {
	case !n.Sunset.IsZero():
		title = n.Endpoint + " ends on " + n.Sunset.Format(time.DateOnly)
	case n.Deprecated:
		title = n.Endpoint + " is deprecated"
	}
	var facts []string
	if n.Text != "" {
		facts = append(facts, n.Text)
	}
	if n.Deprecated && !n.Since.IsZero() {
		facts = append(facts, "deprecated since "+n.Since.Format(time.DateOnly))
	}
	if n.Link != "" {
		facts = append(facts, n.Link)
	}
	return alert.Trouble{
		Subject: marked(upstream, noticeMark, n.Endpoint+noticeDate(n)), Title: title, Trace: trace, Calls: n.Answers,
		Detail: cmp.Or(strings.Join(facts, "; "), "the answers of the provider say so"),
		Action: "Find out in the provider's documentation what takes its place, and change the application before that.",
	}
}

// noticeDate tells what is said of one endpoint from what was said before, by its date.
func noticeDate(n policy.NoticeSighting) string {
	if n.Sunset.IsZero() {
		return ""
	}
	return " " + n.Sunset.Format(time.DateOnly)
}
