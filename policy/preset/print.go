package preset

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// TOML is the preset as configuration that may be pasted: an [upstream.NAME] with
// every key that the preset stands for, and references where secrets belong. What is
// for people stands in comments, and so do further types of credentials.
func (p Preset) TOML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, verified %s\n#\n", p.Title, p.VerifiedOn)
	for _, note := range p.Notes {
		b.WriteString(commented(wrapped(note)) + "#\n")
	}
	if p.Probe != "" {
		fmt.Fprintf(&b, "# Proves a credential: %s\n", p.Probe)
	}
	for _, source := range p.Sources {
		fmt.Fprintf(&b, "# Source: %s\n", source)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Needs)) {
		fmt.Fprintf(&b, "#\n# To write: %s, %s\n", key, p.Needs[key])
	}

	table := maps.Clone(p.Upstream)
	table["preset"] = p.Name
	for i, kind := range p.AuthTypes() {
		if i == 0 {
			table["auth"] = p.credential(kind)
			b.WriteString("\n" + p.encoded(table, "upstream."+p.Name))
			continue
		}
		other := p.encoded(map[string]any{"auth": p.credential(kind)}, "upstream."+p.Name+".auth")
		b.WriteString("\n# Or:\n" + switchedOff(other))
	}
	return b.String()
}

// secrets maps type of credential → what only its user can write.
var secrets = map[string][]string{
	"bearer": {"token"},
	"basic":  {"username", "password"},
	"header": {"value"},
	"oauth2": {"client_id", "client_secret", "refresh_token"},
}

// credential is an auth table with references in place of secrets.
func (p Preset) credential(kind string) map[string]any {
	auth := map[string]any{"type": kind}
	if kind == "oauth2" {
		auth["grant"] = "refresh_token"
	}
	maps.Copy(auth, p.Auth(kind))
	variable := strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_")) + "_"
	for _, key := range secrets[kind] {
		_, known := auth[key]
		if !known && (key != "refresh_token" || auth["grant"] == "refresh_token") {
			auth[key] = "env:" + variable + strings.ToUpper(key)
		}
	}
	return auth
}

// encoded writes the table of the preset's upstream, from the header of the table at
// path on. What has to be filled in is switched off: the preset knows how.
func (p Preset) encoded(table map[string]any, path string) string {
	var b strings.Builder
	encoder := toml.NewEncoder(&b)
	encoder.Indent = ""
	if err := encoder.Encode(map[string]any{"upstream": map[string]any{p.Name: table}}); err != nil {
		return "" // what was read as TOML can be written as TOML
	}
	_, text, _ := strings.Cut(b.String(), "["+path+"]\n")
	text = "[" + path + "]\n" + text
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		switch {
		case strings.Contains(line, "{host}"), strings.Contains(line, "{token_base}"):
			lines[i] = "#" + line
		case i > 0 && strings.HasPrefix(line, "[") && lines[i-1] != "\n":
			lines[i] = "\n" + line
		}
	}
	return strings.Join(lines, "")
}

// wrapped breaks a text into lines that fit behind "# ", each with its end.
func wrapped(text string) string {
	const width = 78
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String() + "\n"
}

// commented puts "# " in front of each line, and switchedOff a "#" in front of each
// that is not empty.
func commented(lines string) string { return prefixed("# ", lines) }

func switchedOff(lines string) string { return prefixed("#", lines) }

func prefixed(prefix, lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		if line != "\n" {
			b.WriteString(prefix)
		}
		b.WriteString(line)
	}
	return b.String()
}
