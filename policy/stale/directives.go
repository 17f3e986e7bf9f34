package stale

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// directives are those of Cache-Control, by their names in lower case (RFC 9111
// section 5.2).
type directives map[string]string

// directivesOf reads all lines. Of a directive that is there twice the first counts.
func directivesOf(header http.Header) directives {
	d := make(directives)
	for _, line := range header.Values("Cache-Control") {
		for line != "" {
			var part string
			part, line = cutDirective(line)
			name, value, _ := strings.Cut(part, "=")
			name = strings.ToLower(strings.TrimSpace(name))
			if _, known := d[name]; !known && name != "" {
				d[name] = strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	return d
}

// cutDirective cuts a line at its first comma that is not inside of quotes.
func cutDirective(line string) (first, rest string) {
	quoted, escaped := false, false
	for i := range len(line) {
		switch c := line[i]; {
		case escaped:
			escaped = false
		case c == '\\' && quoted:
			escaped = true
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return line[:i], line[i+1:]
		}
	}
	return line, ""
}

func (d directives) has(name string) bool {
	_, ok := d[name]
	return ok
}

// longestDelta is what a greater number of seconds is taken for (RFC 9111 section 1.2.2).
const longestDelta = 1 << 31 * time.Second

// seconds is the time that a directive gives. One that cannot be read is none at all: 0.
func (d directives) seconds(name string) (time.Duration, bool) {
	text, ok := d[name]
	if !ok {
		return 0, false
	}
	return deltaSeconds(text), true
}

// deltaSeconds reads the digits of RFC 9111 section 1.2.2; 0: they are none.
func deltaSeconds(text string) time.Duration {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > int64(longestDelta/time.Second) {
		return longestDelta
	}
	return time.Duration(n) * time.Second
}

// fresh is for how long an answer says that it is good, from when it was made (RFC 9111
// section 4.2.1). What says nothing is not guessed: 0.
func fresh(header http.Header, said directives) time.Duration {
	if d, ok := said.seconds("max-age"); ok {
		return d
	}
	until := header.Get("Expires")
	if until == "" { // mostly
		return 0
	}
	expires, err := http.ParseTime(until)
	if err != nil {
		return 0
	}
	made, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0
	}
	return max(expires.Sub(made), 0)
}

// allowed is how old an answer may be when it is given in place of a failure, of which
// the configuration allows most; 0: it must not be.
func allowed(header http.Header, most time.Duration) time.Duration {
	said := directivesOf(header)
	if said.has("no-store") || said.has("no-cache") {
		return 0
	}
	good := fresh(header, said)
	if said.has("must-revalidate") {
		most = min(most, good)
	}
	if d, ok := said.seconds("stale-if-error"); ok {
		most = min(most, good+d)
	}
	return most
}

// accepted is how old an answer may be that a request takes, of which the configuration
// allows most; 0: it takes only what is new (RFC 9111 section 5.2.1).
func accepted(header http.Header, most time.Duration) time.Duration {
	asked := directivesOf(header)
	if len(asked) == 0 && strings.Contains(strings.ToLower(header.Get("Pragma")), "no-cache") {
		return 0
	}
	if asked.has("no-cache") || asked.has("no-store") {
		return 0
	}
	for _, name := range [...]string{"max-age", "stale-if-error"} {
		if d, ok := asked.seconds(name); ok {
			most = min(most, d)
		}
	}
	return most
}
