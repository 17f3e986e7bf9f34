package proxy

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestWait bounds how long a caller waits for the answer to a call that is kept.
const longestWait = 5 * time.Minute

// A preference is what the Prefer of a request says to who keeps calls (RFC 7240): that an
// answer may come later (section 4.1), and how long the caller waits for it (section 4.3).
type preference struct {
	async bool
	wait  time.Duration // 0: it does not say
}

// preferenceOf reads the preference. Of several that are named alike, the first counts
// (section 2); a wait that is no number of seconds is none.
func preferenceOf(header http.Header) preference {
	var p preference
	waits := false
	for _, line := range header["Prefer"] {
		for _, element := range elements(line) {
			switch name, value := preferenceParts(element); name {
			case "respond-async":
				p.async = true
			case "wait":
				if seconds, err := strconv.ParseUint(value, 10, 31); err == nil && !waits {
					p.wait = min(time.Duration(seconds)*time.Second, longestWait)
				}
				waits = true
			}
		}
	}
	return p
}

// withoutPreference is a header without what preferenceOf reads. What else is preferred is
// for the provider, and stays as it was written.
func withoutPreference(header http.Header) http.Header {
	header = maps.Clone(header)
	var lines []string
	for _, line := range header["Prefer"] {
		var others []string
		all := elements(line)
		for _, element := range all {
			if name, _ := preferenceParts(element); name != "respond-async" && name != "wait" {
				others = append(others, element)
			}
		}
		switch {
		case len(others) == len(all):
			lines = append(lines, line)
		case len(others) > 0:
			lines = append(lines, strings.Join(others, ", "))
		}
	}
	delete(header, "Prefer")
	if len(lines) > 0 {
		header["Prefer"] = lines
	}
	return header
}

// elements are those of a list (RFC 9110 section 5.6.1), without white space around them
// and without the empty ones. A comma in quotes is none.
func elements(line string) []string {
	var list []string
	begin, quoted := 0, false
	for i := 0; i <= len(line); i++ {
		switch {
		case i == len(line) || line[i] == ',' && !quoted:
			if element := strings.Trim(line[begin:i], " \t"); element != "" {
				list = append(list, element)
			}
			begin = i + 1
		case line[i] == '"':
			quoted = !quoted
		case line[i] == '\\' && quoted:
			i++
		}
	}
	return list
}

// preferenceParts are the name of a preference, in lower case, and its value without quotes.
func preferenceParts(element string) (name, value string) {
	element, _, _ = strings.Cut(element, ";") // parameters, of which these have none
	name, value, _ = strings.Cut(element, "=")
	return strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t\"")
}
