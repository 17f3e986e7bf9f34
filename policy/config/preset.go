package config

import (
	"errors"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"outrider/policy/preset"
)

// FindPreset gives the preset of a name. The error says which there are, and which
// may have been meant.
func FindPreset(name string) (preset.Preset, error) {
	p, ok := preset.Find(name)
	if !ok {
		return p, errors.New(oneOf(preset.Names()...)(name))
	}
	return p, nil
}

func presetName(name string) string {
	if _, err := FindPreset(name); err != nil {
		return err.Error()
	}
	return ""
}

// overPreset is n, the table of an upstream, laid over that of the preset that it
// names. There is one reader for both, so what a preset says is held to the same
// checks; the report remembers what came from it.
func (n node) overPreset() node {
	written, ok := n.raw.(map[string]any)
	if !ok || written["preset"] == nil || written["preset"] == "" {
		return n
	}
	name, _ := written["preset"].(string)
	p, err := FindPreset(name)
	if err != nil {
		n.log.vague = append(n.log.vague, n.path+".")
		return n
	}
	n.raw = layer{p, n.log}.upstream(n, written)
	return n
}

// A layer is what a preset puts under the tables of one upstream. Nothing that is
// decoded is changed: what is laid over something else is new.
type layer struct {
	preset.Preset
	log *report
}

func (l layer) upstream(n node, written map[string]any) map[string]any {
	known := maps.Clone(l.Upstream)
	delete(known, "auth")
	delete(known, "rule")
	if n.has("url") { // the preset's hosts are other names of the preset's url
		delete(known, "hosts")
	}
	if n.has("limit") { // a list is replaced as a whole, whether or not it is written as one
		delete(known, "limit")
	}
	both := l.under(n.path, written, known)
	host := hostOf(both["url"])
	if auth, ok := written["auth"]; ok {
		both["auth"] = l.auth(n.child("auth").path, host, auth)
	}
	if n.has("rule") || l.Upstream["rule"] != nil {
		both["rule"] = l.rules(n.child("rule"), host)
	}
	if n.has("answer") {
		both["answer"] = l.answers(n.child("answer"))
	}
	l.asks(n.path, "")
	return both
}

// asks notes what the preset needs of its user below path: the keys that begin with
// prefix, without it.
func (l layer) asks(path, prefix string) {
	for key, need := range l.Needs {
		if below, ok := strings.CutPrefix(key, prefix); ok {
			l.log.needs[path+"."+below] = "preset " + l.Name + " needs " + need
		}
	}
}

// under lays written over known, and tables in it likewise.
func (l layer) under(path string, written, known map[string]any) map[string]any {
	both := maps.Clone(written)
	for key, value := range known {
		place := join(path, key)
		mine, there := written[key]
		above, isTable := mine.(map[string]any)
		below, wasTable := value.(map[string]any)
		switch {
		case !there:
			both[key] = value
			l.came(place, value)
		case isTable && wasTable:
			both[key] = l.under(place, above, below)
		}
	}
	return both
}

// came notes that a value, and what is in it, came from the preset.
func (l layer) came(path string, value any) {
	l.log.from[path] = l.Name
	place := node{path: path, raw: value, log: l.log}
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			l.came(place.child(key).path, below)
		}
	case []any:
		for i, below := range v {
			l.came(place.item(i).path, below)
		}
	case []map[string]any:
		for i, below := range v {
			l.came(place.item(i).path, below)
		}
	}
}

// auth lays an auth table over what the preset knows of its type of credential. That
// holds no part of a secret, so none is completed with another's. In its URLs, {host}
// is the host of the upstream's url, and {token_base} what stands before the last
// segment of token_url. Those that are whole belong to the preset's own url: an upstream
// that is somebody else's would send its secrets to the provider.
func (l layer) auth(path, host string, raw any) any {
	written, ok := raw.(map[string]any)
	if !ok {
		return raw
	}
	kind := l.AuthTypes()[0]
	known := map[string]any{"type": kind}
	if named, ok := written["type"].(string); ok {
		kind = named
	}
	fill := strings.NewReplacer("{host}", host, "{token_base}", baseOf(written["token_url"]))
	for key, value := range l.Auth(kind) {
		text, ok := value.(string)
		switch {
		case ok && strings.HasSuffix(key, "_url") && !strings.Contains(text, "{") && l.elsewhere(host):
			l.log.needs[join(path, key)] = "preset " + l.Name + " knows only the one of " + hostOf(l.URL()) + ", and calls go to " + host
			continue
		case ok:
			value = fill.Replace(text)
		}
		known[key] = value
	}
	l.asks(path, "auth.")
	return l.under(path, written, known)
}

// elsewhere reports whether a host is not of the provider: of another domain, which is
// taken to have two labels.
func (l layer) elsewhere(host string) bool {
	return l.URL() != "" && domainOf(host) != domainOf(hostOf(l.URL()))
}

func domainOf(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	labels := strings.Split(strings.ToLower(name), ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}

// rules are those that are written, and behind them those of the preset: the first
// that matches wins. One of the preset's gives way to one with the same match.
func (l layer) rules(n node, host string) any {
	own := n.tables()
	if n.raw != nil && own == nil {
		return n.raw
	}
	var rules []any
	taken := map[string]bool{} // match → written
	for _, rule := range own {
		match, _ := rule.child("match").raw.(string)
		taken[match] = true
		rules = append(rules, l.rule(rule, host))
	}
	known, _ := l.Upstream["rule"].([]map[string]any)
	for _, rule := range known {
		if match, _ := rule["match"].(string); taken[match] {
			continue
		}
		rules = append(rules, rule)
		l.came(node{path: n.path, raw: rules}.item(len(rules)-1).path, rule)
	}
	return rules
}

// rule lays the auth table of a rule that is written over the preset's.
func (l layer) rule(n node, host string) any {
	if !n.has("auth") {
		return n.raw
	}
	both := maps.Clone(n.raw.(map[string]any))
	both["auth"] = l.auth(n.child("auth").path, host, both["auth"])
	return both
}

// nowhere stands for the host of a URL that is missing or wrong, of which the
// document has an error already.
const nowhere = "host.invalid"

// hostOf is the host of a URL that is written.
func hostOf(raw any) string {
	text, _ := raw.(string)
	u, problem := parseURL(text)
	if problem != "" {
		return nowhere
	}
	return u.Host
}

// baseOf is a URL that is written, up to the last slash of its path.
func baseOf(raw any) string {
	text, _ := raw.(string)
	u, problem := parseURL(text)
	if problem != "" {
		return "https://" + nowhere + "/"
	}
	return u.ResolveReference(&url.URL{Path: "."}).String()
}

// origin says of a key that only a preset has a value for where that is from.
func (n node) origin(key string) string {
	if preset := n.log.from[n.child(key).path]; preset != "" {
		return " (which preset " + preset + " means where auth has no " + key + ")"
	}
	return ""
}

// missing reports a key that is not written and has no default. What a preset knows
// of it says more than problem does. Where the preset itself is not known, nobody
// knows what is missing.
func (n node) missing(problem string) {
	if slices.ContainsFunc(n.log.vague, func(upstream string) bool { return strings.HasPrefix(n.path, upstream) }) {
		return
	}
	if need, ok := n.log.needs[n.path]; ok {
		problem = need
	}
	n.deny("is missing: " + problem)
}
