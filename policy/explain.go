package policy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"outrider/policy/stale"
)

// An Explanation says what would happen now to a call, and why.
type Explanation struct {
	Method     string            `json:"method"`
	Target     string            `json:"target"`             // where it would be sent
	Upstream   string            `json:"upstream,omitempty"` // "": no upstream names the host
	Rule       string            `json:"rule,omitempty"`     // "": the upstream's own settings
	Chain      []string          `json:"chain,omitempty"`    // stages, outermost first
	Credential string            `json:"credential,omitempty"`
	Connection string            `json:"connection,omitempty"`
	Token      *CredentialStatus `json:"token,omitempty"` // of a credential that is fetched
	Quotas     []QuotaForecast   `json:"quotas,omitempty"`
	Circuit    *CircuitStatus    `json:"circuit,omitempty"`
	Budget     float64           `json:"retry_budget"`          // retries that may be spent at once
	Class      string            `json:"retry_class,omitempty"` // what a second sending can do: see the safety table
	Retries    []RetryForecast   `json:"retries,omitempty"`
	Hedge      string            `json:"hedge,omitempty"` // when it would have a second request beside the first; "": never
	Timeout    string            `json:"timeout,omitempty"`
	Stale      string            `json:"stale_if_error,omitempty"` // how old an answer may be that is given if it fails; "": none is
	Outbox     *KeepForecast     `json:"outbox,omitempty"`
	Captured   string            `json:"captured,omitempty"` // what is done with an https URL of a proxy client: opened, or passed through
	Verdict    string            `json:"verdict"`            // what would happen, in a sentence
}

// Explain says what would happen now to a call of method to target: a full URL
// at the provider, or one of our base URLs, or only its path. connection is the one that
// the call names; "": none.
func (s *Set) Explain(ctx context.Context, method, target, connection string) (*Explanation, error) {
	u, scheme, host, path, query, err := s.locate(target)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Method: strings.ToUpper(method)}
	e.target(scheme, host, path, query)
	if u == nil {
		e.Verdict = "passed on as it is: no upstream names this host"
		if s.File.Forward.Unlisted == "deny" {
			e.Verdict = `refused with 403: no upstream names this host, and forward.unlisted is "deny"`
		}
		return e, nil
	}
	plan := u.Plan(e.Method, path)
	e.Upstream, e.Rule, e.Chain, e.Credential = u.Config.Name, plan.Match, plan.Stages, plan.Policy.Auth.Type
	e.Captured = "passed through unopened: none of this holds for https:// URLs through the proxy"
	if s.Intercepts(u) {
		e.Captured = "opened"
	}
	e.Timeout, e.Budget = plan.Policy.Timeout.String(), u.budget.Level()
	if keep := plan.Policy.StaleIfError; keep > 0 && stale.Answers(e.Method) {
		e.Stale = keep.String()
	}
	keys := u.keys(plan.Credential)
	if connection != "" {
		keys, e.Connection = u.connectionKeys(connection), connection
		var at Origin
		if at, e.Token, e.Verdict = u.explainConnection(ctx, plan, connection); at != (Origin{}) {
			if asked := s.asked(target); asked != "" && !at.Serves(asked) {
				e.Verdict = "refused with 421 authority-mismatch: the connection is at " + at.String()
			}
			scheme, host = at.Scheme, at.Host
			e.target(scheme, host, path, query)
		}
	}
	unescaped, _ := url.PathUnescape(path) // it was parsed
	req := &http.Request{Method: e.Method, URL: &url.URL{Scheme: scheme, Host: host, Path: unescaped}, Header: http.Header{}}
	key := keys.credential(req)

	quotas, wait, longest := u.forecast(plan, keys, req)
	e.Quotas = quotas
	e.Circuit = u.circuitOf(key)
	e.Class, e.Retries = forecastRetries(req, plan)
	e.Outbox = forecastKeeping(req, plan, s.File)
	e.Hedge = u.hedgeText(plan, keys, req)
	if connection == "" {
		e.Token, e.Verdict = u.explainToken(plan)
	}
	if e.Verdict == "" {
		e.Verdict = e.verdict(wait, longest)
		if c := e.Circuit; e.Stale != "" && (c.Held || c.State == "open" && c.Until != nil) {
			e.Verdict += "; an earlier answer to the same request is given instead, if one is kept"
		}
	}
	if u.Exhausted(key) {
		e.Verdict += "; the provider has refused others, since the quota is exhausted"
	}
	return e, nil
}

// target shows where the call is sent.
func (e *Explanation) target(scheme, host, path, query string) {
	e.Target = scheme + "://" + host + path
	if query != "" {
		e.Target += "?…" // a query may hold a secret
	}
}

// explainConnection gives where a connection is and the state of its credential, or a
// verdict where there is none.
func (u *Upstream) explainConnection(ctx context.Context, plan *Plan, name string) (at Origin, token *CredentialStatus, verdict string) {
	way, err := plan.Connect(ctx, name)
	var status ConnectionStatus
	if err == nil {
		status, err = u.Connection(ctx, name)
	}
	if err != nil {
		return Origin{}, nil, "refused with " + refusalOf(err) + ": " + err.Error()
	}
	return way.Origin, &status.CredentialStatus, ""
}

// explainToken gives the state of the credential of calls that name no connection, where
// it is one that is fetched, and a verdict where there is none.
func (u *Upstream) explainToken(plan *Plan) (token *CredentialStatus, verdict string) {
	if _, none := plan.source.(nameless); none {
		return nil, "refused with 502 credential-unavailable: " + errNameless.Error()
	}
	if c := u.credentials[plan.Credential]; c != nil {
		status := c.status(plan.Credential)
		return &status, ""
	}
	return nil, ""
}

// refusalOf is the status and the reason with which a call without its connection is
// refused.
func refusalOf(err error) string {
	if _, unknown := errors.AsType[*UnknownConnectionError](err); unknown {
		return "404 unknown-connection"
	}
	return "502 credential-unavailable"
}

// asked is the authority of a target that is a URL at the provider, as a client writes it
// that uses us as its proxy; "": it is a base URL.
func (s *Set) asked(target string) string {
	if parsed, err := url.Parse(target); err == nil && parsed.Host != "" {
		if _, listed := s.ByHost(parsed.Host); listed {
			return parsed.Host
		}
	}
	return ""
}

// locate finds where a target goes, in any of the ways in which it can be written.
func (s *Set) locate(target string) (u *Upstream, scheme, host, path, query string, err error) {
	parsed, err := url.Parse(target)
	if err != nil {
		return nil, "", "", "", "", fmt.Errorf("the URL %q cannot be read: %w", target, err)
	}
	path, query = parsed.EscapedPath(), parsed.RawQuery
	if path == "" {
		path = "/"
	}
	if u, ok := s.ByHost(parsed.Host); ok && parsed.Host != "" {
		scheme, host = u.Origin(parsed.Host)
		return u, scheme, host, path, query, nil
	}
	name := ""
	if label, ok := strings.CutSuffix(parsed.Hostname(), ".localhost"); ok {
		name = label
	} else if parsed.Host == "" || s.isBaseURL(parsed) {
		var rest string
		name, rest, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
		path = "/" + rest
	}
	if name == "" {
		return nil, parsed.Scheme, parsed.Host, path, query, nil
	}
	u, ok := s.ByName(name)
	if !ok {
		return nil, "", "", "", "", fmt.Errorf("there is no [upstream.%s]", name)
	}
	scheme, host = u.Origin("")
	return u, scheme, host, u.BasePath() + path, query, nil
}

// isBaseURL reports whether a URL is one of ours: on the port of `listen`.
func (s *Set) isBaseURL(u *url.URL) bool {
	_, port := splitAuthority(s.File.Listen)
	return port != "" && u.Port() == port && (u.Hostname() == "localhost" || strings.HasPrefix(u.Hostname(), "127.") || u.Hostname() == "::1")
}

// verdict puts the forecast in a sentence: the call would wait so long for its turn, and
// may wait so long.
func (e *Explanation) verdict(wait, longest time.Duration) string {
	if c := e.Token; c != nil && !c.Usable && c.Error != "" && c.Next != nil && c.Next.After(time.Now()) {
		return fmt.Sprintf("refused with 502 credential-unavailable until %s: %s", c.Next.Format(time.RFC3339), c.Error)
	}
	switch c := e.Circuit; {
	case c.Held:
		return "refused with 503 circuit-open: an operator opened the circuit, until one closes it"
	case c.State == "open" && c.Until != nil && c.Cause == "operator":
		return fmt.Sprintf("refused with 503 circuit-open until %s: an operator opened the circuit", c.Until.Format(time.RFC3339))
	case c.State == "open" && c.Until != nil:
		return fmt.Sprintf("refused with 503 circuit-open until %s", c.Until.Format(time.RFC3339))
	case c.Share > 0:
		return fmt.Sprintf("sent if it is one of the first ten of this second, or of the %.0f%% that pass so far, else refused with 503 circuit-open: "+
			"a probe has just closed the circuit", 100*c.Share)
	}
	return turnText(e.Quotas, wait, longest)
}
