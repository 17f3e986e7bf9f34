package answer

import (
	"net/http"
	"strings"
)

// Legible is a request to which no answer comes in a coding that is not read here, such as
// br or zstd: what it says would not be found. That is req itself, unless it accepts one.
func Legible(req *http.Request) *http.Request {
	accepted := req.Header["Accept-Encoding"]
	var kept []string
	all := true
	for _, line := range accepted {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.Trim(coding, " \t"); read(coding) {
				kept = append(kept, coding)
			} else {
				all = false
			}
		}
	}
	if all {
		return req
	}
	if kept == nil {
		kept = []string{"identity"}
	}
	asked := req.WithContext(req.Context())
	asked.Header = req.Header.Clone()
	asked.Header["Accept-Encoding"] = []string{strings.Join(kept, ", ")}
	return asked
}

// read reports whether one of the codings that are accepted (RFC 9110 section 12.5.3) is
// read here. "*" is all of them.
func read(coding string) bool {
	name, _, _ := strings.Cut(coding, ";")
	switch strings.ToLower(strings.Trim(name, " \t")) {
	case "", "gzip", "x-gzip", "identity":
		return true
	}
	return false
}
