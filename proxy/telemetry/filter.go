package telemetry

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Filter says which calls somebody wants to see: those that every one of its words
// takes. The zero Filter takes all.
type Filter struct{ words []word }

// maxWords bounds a filter: it is asked at the end of each call, which must not wait for
// whoever follows with ten thousand words.
const maxWords = 32

// A word takes some calls.
type word struct {
	exclude bool // those that it does not take, rather
	test    func(*Record) bool
}

// ParseFilter reads a filter: words with spaces between them, in any case.
//
//	crm             the word is somewhere in the call: method, upstream, path, host, class, problem, trace…
//	-get            it is not
//	503, 5xx        the status, or its class
//	>500ms          the call took longer
//	failed          5xx, or no answer
//	waited          the call waited for its turn, or backed off
//	retried         it took more than one attempt
//	problem         the answer was ours
//	quiet           it failed, and its status says nothing of it
//	upstream:crm    that member is just so; also method, rule, connection, host, path, class,
//	                problem, form, letter and trace
//
// A word of letters before a colon is such a member, or an error. What has something else
// before it, or a port or nothing behind it, is a text: /v1/models:generate, localhost:8080.
//
// Its errors say which word is wrong, and what would be right.
func ParseFilter(text string) (Filter, error) {
	var f Filter
	parts := strings.Fields(strings.ToLower(text))
	if len(parts) > maxWords {
		return Filter{}, fmt.Errorf("%d words: must be %d at most", len(parts), maxWords)
	}
	for _, part := range parts {
		bare := part
		exclude := len(part) > 1 && part[0] == '-'
		if exclude {
			bare = part[1:]
		}
		test, err := parseWord(bare)
		if err != nil {
			return Filter{}, err
		}
		f.words = append(f.words, word{exclude, test})
	}
	return f, nil
}

// Match reports whether the filter takes r.
func (f Filter) Match(r *Record) bool {
	for _, w := range f.words {
		if w.test(r) == w.exclude {
			return false
		}
	}
	return true
}

// states are words that ask how a call went.
var states = map[string]func(*Record) bool{
	"failed":  (*Record).failed,
	"waited":  func(r *Record) bool { return r.WaitedMS > 0 },
	"retried": func(r *Record) bool { return r.Attempts > 1 },
	"problem": func(r *Record) bool { return r.Problem != "" },
	"quiet":   func(r *Record) bool { return r.Quiet != "" },
}

// members are what a word can name.
var members = map[string]func(*Record) string{
	"method":     func(r *Record) string { return r.Method },
	"upstream":   func(r *Record) string { return r.Upstream },
	"rule":       func(r *Record) string { return r.Rule },
	"connection": func(r *Record) string { return r.Connection },
	"host":       func(r *Record) string { return r.Host },
	"path":       func(r *Record) string { return r.Path },
	"class":      func(r *Record) string { return string(r.Class) },
	"problem":    func(r *Record) string { return r.Problem },
	"form":       func(r *Record) string { return r.Form },
	"letter":     func(r *Record) string { return r.Letter },
	"trace":      func(r *Record) string { return r.TraceID },
}

// numbers are what a call has that no word can name, and whose values look like ports.
var numbers = []string{"status", "attempts", "waited", "waited_ms", "duration", "duration_ms"}

func parseWord(text string) (func(*Record) bool, error) {
	if test, ok := states[text]; ok {
		return test, nil
	}
	if longer, ok := strings.CutPrefix(text, ">"); ok {
		d, err := time.ParseDuration(longer)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("%q: must be > and a duration, such as >500ms", text)
		}
		return func(r *Record) bool { return r.DurationMS > ms(d) }, nil
	}
	if name, value, ok := strings.Cut(text, ":"); ok {
		if member, known := members[name]; known {
			return func(r *Record) bool { return strings.EqualFold(member(r), value) }, nil
		}
		if !isText(name, value) {
			return nil, fmt.Errorf("%q: there is no field %q; there are %s, and words such as 503, >500ms and failed", text, name,
				strings.Join(slices.Sorted(maps.Keys(members)), ", "))
		}
	}
	if len(text) == 3 && text[0] >= '1' && text[0] <= '5' {
		if text[1:] == "xx" {
			return func(r *Record) bool { return r.Status/100 == int(text[0]-'0') }, nil
		}
		if status, err := strconv.Atoi(text); err == nil {
			return func(r *Record) bool { return r.Status == status }, nil
		}
	}
	return func(r *Record) bool { return r.has(text) }, nil
}

// isText reports whether a word with a colon may be meant as a part of a call, of its path
// (/v1/models:generate), host (localhost:8080), URL or error, and not as a field that it
// should have just so: a mistyped one would take no call, for ever.
func isText(name, value string) bool {
	letters := strings.TrimFunc(name, func(r rune) bool { return r == '_' || 'a' <= r && r <= 'z' }) == ""
	if name == "" || !letters || value == "" || strings.HasPrefix(value, "//") || strings.Contains(value, ":") { // dead:beef::1
		return true
	}
	_, err := strconv.ParseUint(value, 10, 16)
	return err == nil && !slices.Contains(numbers, name)
}

// has reports whether the lower-case text is in a member of r.
func (r *Record) has(text string) bool {
	for _, member := range members {
		if strings.Contains(strings.ToLower(member(r)), text) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(r.Error), text)
}
