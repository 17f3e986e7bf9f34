package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"outrider/policy"
)

// checkKey asks callers for the access key, which is set. Whole digests are
// compared, so that the time taken tells nothing about the key.
func (s *Server) checkKey(set *policy.Set, r *http.Request) error {
	missing := &problem{slug: "key-required", detail: "send the access key as Outrider-Key, or as the password of the proxy's URL"}
	if formOf(r) != formBaseURL {
		missing.status = http.StatusProxyAuthRequired
	}
	key, err := s.Secret(set.File.AccessKey)
	if err != nil || key == "" {
		return missing
	}
	want := sha256.Sum256([]byte(key))
	for _, shown := range keysShown(r.Header) {
		got := sha256.Sum256([]byte(shown))
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return nil
		}
	}
	return missing
}

// keysShown are the access keys that a request presents: as a header of ours,
// or in the ways in which HTTP clients speak to a proxy.
func keysShown(header http.Header) []string {
	shown := header["Outrider-Key"]
	for _, value := range header["Proxy-Authorization"] {
		scheme, rest, _ := strings.Cut(value, " ")
		switch strings.ToLower(scheme) {
		case "bearer":
			shown = append(shown, strings.TrimSpace(rest))
		case "basic":
			r := http.Request{Header: http.Header{"Authorization": {value}}}
			if user, password, ok := r.BasicAuth(); ok {
				shown = append(shown, password, user)
			}
		}
	}
	return shown
}
