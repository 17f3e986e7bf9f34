package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"

	"outrider/policy"
	"outrider/policy/config"

	"github.com/spf13/cobra"
)

func (c *commands) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and print the compiled plan of every upstream",
		Long: "check reads the configuration as run would, secrets included, reports everything that is\n" +
			"wrong with it at once, and prints what would happen to the calls of every upstream.\n" +
			"It connects to nothing. Values of secrets are never printed.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.check() },
	}
}

func (c *commands) check() error {
	path, _, file, err := c.file()
	if err != nil {
		return err
	}
	s := &sidecar{file: file, secrets: newSecrets()}
	env := s.env()
	kept := false
	env.Keep = func(string) (policy.Keeper, error) { // without a store, which would be made
		kept = true
		return nil, nil
	}
	set, err := policy.Compile(file, env, nil)
	if err = errors.Join(s.checkFile(file), err); err != nil {
		return usageError{fmt.Errorf("the configuration cannot be used:\n%w", err)}
	}
	if c.json {
		return c.printJSON(plans(set, s.wayText))
	}
	name := path
	if path == "" {
		name = "the built-in configuration"
	}
	fmt.Fprintf(c.Stdout, "%s is valid: %s\n", name, count(len(file.Upstreams), "upstream"))
	if len(file.Upstreams) == 0 {
		fmt.Fprintln(c.Stdout, noUpstreams)
	}
	for _, warning := range file.Warnings {
		fmt.Fprintln(c.Stdout, "warning:", warning)
	}
	if kept {
		if err := c.printStore(file, s.secrets); err != nil {
			return usageError{err}
		}
	}
	for _, u := range set.Upstreams() {
		printUpstream(c.Stdout, file, u, set.Intercepts(u), s.wayText)
	}
	return nil
}

// printStore says where tokens would be kept.
func (c *commands) printStore(file *config.File, secrets *secrets) error {
	settings, err := storeSettings(file, secrets)
	if err != nil {
		return err
	}
	plan, err := settings.Plan()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.Stdout, "tokens are kept in", planText(plan))
	if warning := keyWarning(plan, file); warning != "" {
		fmt.Fprintln(c.Stdout, "warning:", warning)
	}
	return nil
}

// planView is one plan, for programs.
type planView struct {
	Upstream   string   `json:"upstream"`
	Match      string   `json:"match,omitempty"`
	Preset     string   `json:"preset,omitempty"` // and when it was verified
	URL        string   `json:"url"`
	Hosts      []string `json:"hosts"`
	Chain      []string `json:"chain"`
	Credential string   `json:"credential"`
	Timeout    string   `json:"timeout"`
	Quotas     []string `json:"quotas,omitempty"`
	Cost       int      `json:"cost"` // what a call spends of each rate
	Retry      string   `json:"retry"`
	Stale      string   `json:"stale_if_error,omitempty"`
	Answers    []string `json:"answers,omitempty"` // what answers mean, whatever their status; the first that fits counts
	Repeats    string   `json:"repeats,omitempty"`
	Pauses     string   `json:"pauses,omitempty"`
	Hedge      string   `json:"hedge,omitempty"` // when there is a second request; "": never
	Circuit    string   `json:"circuit"`
	Captured   string   `json:"captured"`         // what is done with https:// calls through the proxy
	Egress     string   `json:"egress,omitempty"` // the proxy on the way to the upstream

	Connections string `json:"connections,omitempty"` // which other credentials calls can choose
}

func plans(set *policy.Set, way func(*config.Upstream) string) []planView {
	views := []planView{}
	for _, u := range set.Upstreams() {
		for _, p := range u.Plans() {
			view := planView{
				Upstream: u.Config.Name, Match: p.Match, Preset: presetText(u.Config), URL: u.Config.URL.String(), Hosts: u.Config.Hosts,
				Chain: p.Stages, Credential: credentialText(u.Config, p.Policy.Auth), Timeout: timeoutText(p.Policy),
				Quotas: quotaTexts(p.Policy.Limits), Cost: p.Policy.Cost, Retry: retryText(p.Policy.Retry), Circuit: circuitText(u.Config.Circuit),
				Captured: capturedText(set.Intercepts(u)), Egress: way(u.Config),
				Stale:       staleText(p.Policy),
				Answers:     answerTexts(p.Policy.Answers),
				Hedge:       hedgeText(p.Policy),
				Connections: connectionsText(u.Config),
			}
			if p.Policy.Retry.Attempts > 1 {
				view.Repeats, view.Pauses = repeatText(p.Policy.Retry), pauseText(p.Policy.Retry)
			}
			views = append(views, view)
		}
	}
	return views
}

// noUpstreams is said where somebody would look for their upstreams in vain.
const noUpstreams = "no upstreams: calls to every host are passed on as they are; add [upstream.NAME] with a url"

// A fact is one line of what is said of an upstream or of a rule.
type fact struct{ label, text string }

func printUpstream(w io.Writer, file *config.File, u *policy.Upstream, intercepted bool, way func(*config.Upstream) string) {
	cfg := u.Config
	base := u.Plans()[0]
	fmt.Fprintf(w, "\n%s → %s\n", cfg.Name, cfg.URL)
	line := func(label, text string) { fmt.Fprintf(w, "  %-11s %s\n", label, text) }
	if text := presetText(cfg); text != "" {
		line("preset", text)
	}
	if strings.HasPrefix(file.Listen, unixScheme) {
		line("base URL", fmt.Sprintf("http://localhost/%s/…, at %s", cfg.Name, file.Listen))
	} else {
		_, port, _ := net.SplitHostPort(file.Listen)
		line("base URL", fmt.Sprintf("http://%s/%s/…  or  http://%s.localhost:%s/…", file.Listen, cfg.Name, cfg.Name, port))
	}
	if strings.HasPrefix(cfg.Listen, unixScheme) {
		line("own socket", "http://localhost/…, at "+cfg.Listen)
	} else if cfg.Listen != "" {
		line("own port", "http://"+cfg.Listen+"/…")
	}
	if len(cfg.Hosts) > 0 {
		line("proxy", "for "+strings.Join(cfg.Hosts, ", ")+"; https:// is "+capturedText(intercepted))
	}
	if text := way(cfg); text != "" {
		line("goes out", text)
	}
	line("chain", strings.Join(base.Stages, " → "))
	facts := policyFacts(cfg, base.Policy)
	for _, f := range facts {
		line(f.label, f.text)
	}
	line("circuit", circuitText(cfg.Circuit))
	if text := connectionsText(cfg); text != "" {
		line("connections", text)
	}
	for i, rule := range u.Plans()[1:] {
		fmt.Fprintf(w, "  rule %d      %s\n", i+1, rule.Match)
		for _, f := range policyFacts(cfg, rule.Policy) {
			// What a rule has from its upstream is said above; its quotas are its own.
			if f.label == "quota" || !slices.Contains(facts, f) {
				line("  "+f.label, f.text)
			}
		}
	}
}

func policyFacts(u *config.Upstream, p config.Policy) []fact {
	facts := []fact{{"credential", credentialText(u, p.Auth)}, {"time", timeoutText(p)}}
	for _, text := range quotaTexts(p.Limits) {
		facts = append(facts, fact{"quota", text})
	}
	if p.Cost > 1 {
		facts = append(facts, fact{"cost", fmt.Sprintf("%d of the rate of each quota", p.Cost)})
	}
	for _, text := range answerTexts(p.Answers) {
		facts = append(facts, fact{"answer", text})
	}
	facts = append(facts, fact{"retry", retryText(p.Retry)})
	if p.Retry.Attempts > 1 {
		facts = append(facts, fact{"repeats", repeatText(p.Retry)}, fact{"pauses", pauseText(p.Retry)})
	}
	if text := hedgeText(p); text != "" {
		facts = append(facts, fact{"hedge", text})
	}
	if text := staleText(p); text != "" {
		facts = append(facts, fact{"stale", text})
	}
	return facts
}

func credentialText(u *config.Upstream, a config.Auth) string {
	if a == u.Policy.Auth && u.Connections == config.ConnectionsRequired {
		return a.Type + ", by the connection that a call names"
	}
	switch a.Type {
	case "bearer":
		return "bearer, from " + referenceText(a.Token)
	case "basic":
		return "basic, user from " + referenceText(a.Username) + ", password from " + referenceText(a.Password)
	case "header", "query":
		return a.Type + " " + a.Name + ", from " + referenceText(a.Value)
	case "oauth2":
		return "oauth2 " + a.Grant + ", from " + tokenEndpoint(a.TokenURL) + shownText(a.OAuth2) + oauth2Text(a.OAuth2) + loginText(u, a.OAuth2)
	case "github_app":
		return "github_app " + string(a.AppID) + ", installation " + string(a.InstallationID) + ", from " + a.APIURL +
			"; signed with " + referenceText(a.PrivateKey) + oauth2Text(a.OAuth2)
	case "service_account":
		return "service_account, key from " + referenceText(a.Key) + oauth2Text(a.OAuth2)
	case "sigv4":
		return "sigv4, " + policy.SigningScope(u, a) + ", from " + sigv4Text(a.SigV4)
	case "placeholder":
		return "placeholder, from " + referenceText(a.Value) + ", where the caller wrote " + u.Placeholder()
	case "none":
		return "none; a caller's own Authorization is removed"
	}
	return "the caller's own, passed through"
}

// connectionsText says which other credentials calls can choose; "" where there can be
// none.
func connectionsText(u *config.Upstream) string {
	if len(u.Named) == 0 && u.Connections != config.ConnectionsRequired {
		return ""
	}
	names := make([]string, 0, shownLines)
	for _, c := range u.Named[:min(len(u.Named), shownLines)] {
		name := c.Name
		if c.Auth.Origin != "" {
			name += " at " + c.Auth.Origin
		}
		names = append(names, name)
	}
	text := "those of the store"
	if len(names) > 0 {
		text = strings.Join(names, ", ") + ", and " + text
	}
	if more := len(u.Named) - len(names); more > 0 {
		text = fmt.Sprintf("%d, such as %s", len(u.Named), text)
	}
	if u.Connections == config.ConnectionsRequired {
		return text + "; a call has to name one"
	}
	return text + "; a call that names none gets the credential above"
}

// tokenEndpoint is a token URL for people: its query may have a key in it.
func tokenEndpoint(raw string) string {
	bare, _, _ := strings.Cut(raw, "?")
	return bare
}

// shownText says what is shown for a token.
func shownText(o config.OAuth2) string {
	var text string
	for _, part := range []struct {
		label string
		ref   config.Reference
	}{
		{"client", o.ClientID}, {"issuer", o.Issuer}, {"signed with", o.PrivateKey}, {"shown", o.ClientAssertion}, {"for", o.SubjectToken},
	} {
		if part.ref != "" {
			text += "; " + part.label + " " + referenceText(part.ref)
		}
	}
	return text
}

// oauth2Text says how a token is kept alive.
func oauth2Text(o config.OAuth2) string {
	ahead := config.Ratio(o.RefreshShare).String() + " of its lifetime"
	if o.RefreshBefore > 0 {
		ahead = config.Duration(o.RefreshBefore).String()
	}
	text := "; refreshed " + ahead + " before its end, and once after a 401"
	if o.NotExpiry != "" {
		text += ", save one of not_expiry"
	}
	return text
}

// sigv4Text says where the parts of a key come from.
func sigv4Text(s config.SigV4) string {
	text := referenceText(s.AccessKeyID) + " and " + referenceText(s.SecretAccessKey)
	if s.SessionToken != "" {
		text += ", session " + referenceText(s.SessionToken)
	}
	return text
}

// loginText says how the first tokens are had.
func loginText(u *config.Upstream, o config.OAuth2) string {
	if o.Grant != "authorization_code" {
		return ""
	}
	return "; the first ones come from: " + policy.LoginCommand(u.Name, "")
}

// referenceText says where a secret comes from, and never what it is.
func referenceText(r config.Reference) string {
	switch {
	case r == "":
		return `""`
	case r.Literal():
		return "a literal in the file"
	}
	return r.String()
}

// capturedText says what becomes of https:// calls through the proxy.
func capturedText(intercepted bool) string {
	if intercepted {
		return "opened with the local certificate authority"
	}
	return "passed through unopened: no credential, quota or retries"
}

// wayText says which proxy is on the way to an upstream; "" for none.
func (s *sidecar) wayText(u *config.Upstream) string {
	way, err := s.way(u.Egress)
	if err != nil || way == nil {
		return "" // an error was reported when the configuration was compiled
	}
	proxy := way(&url.URL{Scheme: u.URL.Scheme, Host: u.URL.Host})
	if proxy == nil {
		return ""
	}
	return "through the proxy " + proxy.String()
}

func timeoutText(p config.Policy) string {
	return fmt.Sprintf("%s for the call, %s for an attempt, %s of silence in a body; bodies up to %s can be sent again",
		config.Duration(p.Timeout), config.Duration(p.AttemptTimeout), config.Duration(p.IdleTimeout), config.Size(p.ReplayBody))
}

// staleText says what is given when the upstream fails; "": nothing is.
func staleText(p config.Policy) string {
	if p.StaleIfError == 0 {
		return ""
	}
	return fmt.Sprintf("if it fails, GET and HEAD get their last good answer, at most %s old", config.Duration(p.StaleIfError))
}

func quotaTexts(limits []config.Limit) []string {
	texts := make([]string, 0, len(limits))
	for _, l := range limits {
		var parts []string
		if l.Rate.Count > 0 {
			parts = append(parts, l.Rate.String())
		}
		if l.Burst > 0 {
			parts = append(parts, fmt.Sprintf("burst %d", l.Burst))
		}
		if l.Concurrency > 0 {
			parts = append(parts, fmt.Sprintf("%d at once", l.Concurrency))
		}
		switch l.Shape {
		case "window":
			parts = append(parts, "spent at once")
		case "smooth":
			parts = append(parts, "spread evenly")
		}
		switch {
		case !l.Learn:
			parts = append(parts, "whatever its answers tell")
		case l.Rate.Count == 0 && l.Concurrency == 0:
			parts = append(parts, "learned from its answers")
		default:
			parts = append(parts, "and what its answers tell")
		}
		if l.Dialect != "auto" {
			parts = append(parts, "dialect "+l.Dialect)
		}
		texts = append(texts, fmt.Sprintf("%s, per %s; waits up to %s, %d in line",
			strings.Join(parts, ", "), l.Per, config.Duration(l.MaxWait), l.MaxQueue))
	}
	return texts
}

// answerTexts say what answers mean whose status does not say it.
func answerTexts(answers []config.Answer) []string {
	texts := make([]string, 0, len(answers))
	for _, a := range answers {
		text := strings.Trim(fmt.Sprint(a.Statuses), "[]")
		switch {
		case a.GraphQL:
			text += " of GraphQL, THROTTLED"
		case a.Header != "":
			text += " with " + a.Header
		default:
			text += " with " + a.Field
		}
		switch {
		case len(a.Values) > 0:
			text += " = " + strings.Join(a.Values, ", ")
		case len(a.Contains) > 0:
			text += ` that has "` + strings.Join(a.Contains, `", "`) + `" in it`
		}
		text += ": " + a.Means
		if a.Wait > 0 {
			text += fmt.Sprintf(", for %s where it names no time", config.Duration(a.Wait))
		}
		texts = append(texts, text)
	}
	return texts
}

// retryText says after what there is another attempt.
func retryText(r config.Retry) string {
	if r.Attempts < 2 {
		return "off"
	}
	text := fmt.Sprintf("up to %d attempts, after transport errors", r.Attempts)
	if len(r.Statuses) > 0 {
		text += " and " + strings.Trim(fmt.Sprint(r.Statuses), "[]")
	}
	if len(r.Unprocessed) > 0 {
		text += fmt.Sprintf("; after %s whatever the method", strings.Trim(fmt.Sprint(r.Unprocessed), "[]"))
	}
	return text
}

// repeatText says which requests may be sent again.
func repeatText(r config.Retry) string {
	text := "GET, HEAD, OPTIONS, PUT, DELETE"
	switch {
	case r.MintKey:
		text += "; POST and PATCH, under " + r.IdempotencyHeader + ", which is added where it is missing"
	case r.IdempotencyHeader != "":
		text += "; POST and PATCH that carry " + r.IdempotencyHeader
	}
	return text + "; anything that was provably not sent"
}

// pauseText says how long is waited before an attempt, and who pays for it.
func pauseText(r config.Retry) string {
	return fmt.Sprintf("random, up to %s · 2ⁿ (1s · 2ⁿ after 429 and 503), at most %s; Retry-After in full; budget %s of calls",
		config.Duration(r.Base), config.Duration(r.Cap), config.Ratio(r.Budget))
}

// hedgeText says when there is a second request beside the first; "": never.
func hedgeText(p config.Policy) string {
	if !p.Hedge {
		return ""
	}
	return "a second GET or HEAD where the first takes longer than 95% did; at most 5% of calls, each paid from the budget of retries"
}

func circuitText(c config.Circuit) string {
	text := fmt.Sprintf("opens at %s failures or %s slower than %s, of at least %d in %s, or %d failures or %d refused connections in a row; for %s to %s",
		config.Ratio(c.FailureRatio), config.Ratio(c.SlowRatio), config.Duration(c.Slow), c.MinCalls, config.Duration(c.Window),
		c.FailureRun, c.Consecutive, config.Duration(c.Open), config.Duration(c.OpenMax))
	if c.Ramp > 0 {
		text += fmt.Sprintf("; calls come back over %s", config.Duration(c.Ramp))
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
