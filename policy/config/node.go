package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// A node is one value of the document, or the place where one could stand.
type node struct {
	path string
	raw  any // as TOML decoded it; nil: not written
	log  *report
}

// A report collects what is wrong with a document, and what is worth a warning.
type report struct {
	errs     Errors
	warnings []string
	failed   map[string]bool // paths of errs
	known    []string        // all key paths of the document, for suggestions

	connected map[string]bool   // paths of auth tables that connections complete
	from      map[string]string // key path → the preset that its value came from
	needs     map[string]string // key path → what a preset says about a value that is missing there
	vague     []string          // paths, each with its dot, of upstreams whose preset is not known
}

// child is the place of a key of the table that n is.
func (n node) child(key string) node {
	keys, _ := n.raw.(map[string]any)
	return node{join(n.path, key), keys[key], n.log}
}

// join adds a key to a path, in quotes unless it is a bare one. A key that holds
// what no key of ours would is not shown: with a quote in the wrong place, a
// secret can become part of one.
func join(path, key string) string {
	part := toml.Key{key}.String()
	if key != "" && part != key {
		if part = shown(key); part == "" {
			part = `"…"`
		}
	}
	if path == "" {
		return part
	}
	return path + "." + part
}

// item is the place of an element of the list that n is. Indexes count from 0.
func (n node) item(i int) node {
	item := node{path: n.path + "[" + strconv.Itoa(i) + "]", log: n.log}
	switch list := n.raw.(type) {
	case []any:
		item.raw = list[i]
	case []map[string]any:
		item.raw = list[i]
	}
	return item
}

// tables is n as a list of tables: [[name]], or tables in a list.
func (n node) tables() []node {
	var tables []node
	switch list := n.raw.(type) {
	case []any:
		for i := range list {
			tables = append(tables, n.item(i))
		}
	case []map[string]any:
		for i := range list {
			tables = append(tables, n.item(i))
		}
	}
	return tables
}

// has reports whether a key has a value, right or wrong, of its own or of a preset.
func (n node) has(key string) bool { return n.child(key).raw != nil }

// writes reports whether a key stands in the document itself: what only a preset
// says gives way where a default would.
func (n node) writes(key string) bool {
	place := n.child(key)
	return place.raw != nil && n.log.from[place.path] == ""
}

// sound reports whether nothing is wrong with the values of these keys. What
// has to agree is only compared when both sides are: one fault, one message.
func (n node) sound(keys ...string) bool {
	for _, key := range keys {
		if n.log.failed[n.child(key).path] {
			return false
		}
	}
	return true
}

// soundBelow reports whether nothing is wrong with n and with what is below it.
func (n node) soundBelow() bool {
	for path := range n.log.failed {
		if path == n.path || strings.HasPrefix(path, n.path+".") {
			return false
		}
	}
	return true
}

// fail reports that the value of n is wrong, and shows it where it is safe.
func (n node) fail(problem string) {
	n.log.add(Error{Key: n.path, Value: shown(n.raw), Problem: problem})
}

func (n node) failf(format string, args ...any) { n.fail(fmt.Sprintf(format, args...)) }

// deny is fail for values that may be secret: it never shows them.
func (n node) deny(problem string) { n.log.add(Error{Key: n.path, Problem: problem}) }

// noTable reports what stands where a table has to be. A text there may be a credential that
// was meant for a table in it, and is not shown.
func (n node) noTable(format string, args ...any) {
	if _, text := n.raw.(string); text {
		n.deny(fmt.Sprintf(format, args...))
		return
	}
	n.failf(format, args...)
}

// warn reports what works but should not stay so.
func (n node) warn(text string) { n.log.warnings = append(n.log.warnings, n.path+": "+text) }

func (r *report) add(e Error) {
	if preset := r.from[e.Key]; preset != "" {
		e.Problem += " (from preset " + preset + ")"
	}
	r.errs = append(r.errs, e)
	r.failed[e.Key] = true
}

// longestShown bounds what a message repeats of the document, in bytes.
const longestShown = 60

// shown writes a value as it stands in the document; "" if it is long, not
// simple, or has characters that a URL with a password, a quotation of another
// line or a key would have.
func shown(raw any) string {
	switch v := raw.(type) {
	case bool, int64:
		return fmt.Sprint(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		if len(v) <= longestShown && strings.IndexFunc(v, unusual) < 0 {
			return `"` + v + `"`
		}
	}
	return ""
}

func unusual(r rune) bool {
	return r >= 0x80 || !isAlphanumeric(byte(r)) && !strings.ContainsRune(" .:/_-*%,+[]$", r)
}
