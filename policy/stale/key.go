package stale

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A digest stands for what must not be held as it is: URLs and headers may have secrets.
type digest [sha256.Size]byte

// pageOf is what a request is about, whoever asks.
func pageOf(req *http.Request) digest {
	return sha256.Sum256(appendTexts(nil, req.URL.String(), req.Host))
}

// variantOf is who asks, and how: see the package's documentation.
func variantOf(req *http.Request, credential string) digest {
	who := make([]byte, 0, 1<<10)
	who = appendTexts(who, req.Method, credential)
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		if values := asking(name, req.Header[name]); len(values) > 0 {
			who = appendTexts(who, http.CanonicalHeaderKey(name))
			who = appendTexts(who, values...)
		}
	}
	return sha256.Sum256(who)
}

// asking gives what the values of a header may ask for. Applications pass along in Baggage
// on whose behalf they call; the trace that Sentry's SDKs put beside it asks for nothing.
func asking(name string, values []string) (members []string) {
	switch {
	case passing(name):
		return nil
	case !strings.EqualFold(name, "Baggage"):
		return values
	}
	for _, line := range values {
		for member := range strings.SplitSeq(line, ",") {
			if member = strings.TrimSpace(member); !strings.HasPrefix(member, "sentry-") {
				members = append(members, member)
			}
		}
	}
	return members
}

// appendTexts appends texts so that no two lists of them are the same bytes.
func appendTexts(to []byte, texts ...string) []byte {
	to = binary.BigEndian.AppendUint64(to, uint64(len(texts)))
	for _, text := range texts {
		to = binary.BigEndian.AppendUint64(to, uint64(len(text)))
		to = append(to, text...)
	}
	return to
}

// passingNames are the headers that change from call to call and say nothing of what is
// asked for.
var passingNames = map[string]bool{
	"Traceparent": true, "Tracestate": true, "B3": true, "Sentry-Trace": true,
	"X-Amzn-Trace-Id": true, "X-Cloud-Trace-Context": true, "Uber-Trace-Id": true,
	"X-Request-Id": true, "X-Correlation-Id": true, "Date": true,
	"Amz-Sdk-Invocation-Id": true, "Amz-Sdk-Request": true, "X-Stainless-Retry-Count": true,
	"If-None-Match": true, "If-Modified-Since": true, // If-Match asks for one state, and no other
	"Cache-Control": true, "Pragma": true,
}

func passing(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return passingNames[name] || strings.HasPrefix(name, "X-B3-") || strings.HasPrefix(name, "X-Datadog-")
}

// variesByPassing reports that an answer depends on what variantOf leaves out, or on what
// no header shows (RFC 9110 section 12.5.5).
func variesByPassing(header http.Header) bool {
	for _, line := range header.Values("Vary") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "*" || passing(name) {
				return true
			}
		}
	}
	return false
}
