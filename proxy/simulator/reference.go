package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// route is the part of the path that does not vary.
func (e endpoint) route() string {
	if e.Path == "/" || e.Path == "/fault/CODE" {
		return e.Path
	}
	var fixed []string
	for _, segment := range strings.Split(e.Path, "/") {
		if segment == "…" || segment != "" && strings.ToUpper(segment) == segment && segment[0] >= 'A' && segment[0] <= 'Z' {
			break
		}
		fixed = append(fixed, segment)
	}
	return strings.Join(fixed, "/")
}

// below says whether the endpoint answers for longer paths than its route.
func (e endpoint) below() bool { return e.Path != e.route() }

// control says whether this is one of the simulator's own pages.
func (e endpoint) control() bool { return strings.HasPrefix(e.Path, "/_") }

// postOnly keeps what changes something from being followed as a link.
func postOnly(next handler) handler {
	return func(s *Simulator, w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			respond(w, http.StatusMethodNotAllowed, problem{Error: "POST is needed here"})
			return
		}
		next(s, w, r)
	}
}

// Reference describes every endpoint, with a line of curl each, for a
// simulator at base, such as "http://127.0.0.1:9000".
func Reference(base string) string {
	var b strings.Builder
	group := ""
	for _, e := range catalogue() {
		if e.Group != group {
			group = e.Group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		fmt.Fprintf(&b, "\n  %s", e.Path)
		if e.Query != "" {
			fmt.Fprintf(&b, "  ?  %s", e.Query)
		}
		b.WriteString("\n")
		for _, line := range wrap(e.About, 74) {
			fmt.Fprintf(&b, "      %s\n", line)
		}
		fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(e.Curl, "BASE", base))
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// wrap breaks text into lines of at most width bytes, where words allow it.
func wrap(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len(*last)+1+len(word) > width:
			lines = append(lines, word)
		default:
			*last += " " + word
		}
	}
	return lines
}

// index serves /.
func index(s *Simulator, w http.ResponseWriter, r *http.Request) {
	base := "http://" + r.Host
	if r.TLS != nil {
		base = "https://" + r.Host
	}
	w.Header().Set("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		list := catalogue()
		for i := range list {
			list[i].Curl = strings.ReplaceAll(list[i].Curl, "BASE", base)
		}
		b, _ := json.MarshalIndent(map[string]any{"seed": s.set.Seed, "dialects": Dialects(), "endpoints": list}, "", "  ")
		respondBytes(w, http.StatusOK, "application/json", append(b, '\n'))
		return
	}
	text := fmt.Sprintf("A provider that misbehaves on purpose. Seed %d. Header dialects: %s.\nParameters are shown with their defaults. times=N fails the first N calls of key\nand spares the rest; p fails that share of them, the same ones for the same seed.\n\n", s.set.Seed, strings.Join(Dialects(), ", "))
	respondBytes(w, http.StatusOK, "text/plain; charset=utf-8", []byte(text+Reference(base)))
}
