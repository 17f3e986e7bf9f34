package cli

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"outrider/policy"
	"outrider/policy/config"
)

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
	Results    string   `json:"results,omitempty"` // which lists are looked at
	Steady     bool     `json:"steady,omitempty"`  // it is an alert when calls stop
	Answers    []string `json:"answers,omitempty"` // what answers mean, whatever their status; the first that fits counts
	Repeats    string   `json:"repeats,omitempty"`
	Pauses     string   `json:"pauses,omitempty"`
	Hedge      string   `json:"hedge,omitempty"`     // when there is a second request; "": never
	Propagate  bool     `json:"propagate,omitempty"` // the upstream is told of the trace
	Outbox     string   `json:"outbox,omitempty"`    // which calls are kept; "": none
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
				Chain: p.Stages, Credential: credentialText(u.Config, p.Policy.Auth) + endText(p.Policy.Auth), Timeout: timeoutText(p.Policy),
				Quotas: quotaTexts(p.Policy.Limits), Cost: p.Policy.Cost, Retry: retryText(p.Policy.Retry), Circuit: circuitText(u.Config.Circuit),
				Captured: capturedText(set.Intercepts(u)), Egress: way(u.Config),
				Stale:       staleText(p.Policy),
				Results:     resultsText(p.Policy),
				Steady:      u.Config.Steady,
				Answers:     answerTexts(p.Policy.Answers),
				Hedge:       hedgeText(p.Policy),
				Outbox:      outboxText(p.Policy, set.File),
				Propagate:   p.Policy.Propagate,
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
	facts := policyFacts(file, cfg, base.Policy)
	for _, f := range facts {
		line(f.label, f.text)
	}
	line("circuit", circuitText(cfg.Circuit))
	if cfg.Steady {
		line("steady", "an alert when calls that came for six hours stop")
	}
	if text := connectionsText(cfg); text != "" {
		line("connections", text)
	}
	for i, rule := range u.Plans()[1:] {
		fmt.Fprintf(w, "  rule %d      %s\n", i+1, rule.Match)
		for _, f := range policyFacts(file, cfg, rule.Policy) {
			// What a rule has from its upstream is said above; its quotas are its own.
			if f.label == "quota" || !slices.Contains(facts, f) {
				line("  "+f.label, f.text)
			}
		}
	}
}

func policyFacts(file *config.File, u *config.Upstream, p *config.Policy) []fact {
	facts := []fact{{"credential", credentialText(u, p.Auth) + endText(p.Auth)}, {"time", timeoutText(p)}}
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
	if text := outboxText(p, file); text != "" {
		facts = append(facts, fact{"outbox", text})
	}
	if text := staleText(p); text != "" {
		facts = append(facts, fact{"stale", text})
	}
	if text := resultsText(p); text != "" {
		facts = append(facts, fact{"results", text})
	}
	if p.Propagate {
		facts = append(facts, fact{"traces", "the upstream is told of the trace, and gets the caller's baggage"})
	}
	return facts
}
