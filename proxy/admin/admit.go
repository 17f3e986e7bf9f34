package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// contentPolicy lets the page load its own files and talk to its own origin, and
// nothing else: no inline script, no other host, no frame around it.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// harden sets what every response carries.
func harden(h http.Header, version string) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if version != "" {
		h.Set("Outrider-Version", version)
	}
}

// admit reports whether r may be served, and answers it if not.
func (h *handler) admit(w http.ResponseWriter, r *http.Request) bool {
	key := h.accessKey()
	if !showsKey(r, key) {
		w.Header().Set("WWW-Authenticate", `Basic realm="outrider", charset="UTF-8"`)
		Fail(w, http.StatusUnauthorized, "key-required", "Show the access key: Outrider-Key, Authorization: Bearer, or as the password of Basic.")
		return false
	}
	// A name of an attacker's own that resolves to our address makes a browser
	// take us for the attacker's site. It then has no key, so with one we need
	// not care by which name we are called.
	if key == "" && !h.knownHost(r.Host) {
		Fail(w, http.StatusForbidden, "host-denied", "This listener answers to loopback names, IP addresses and the host of its configured address only.")
		return false
	}
	if err := h.foreign.Check(r); err != nil {
		Fail(w, http.StatusForbidden, "cross-origin", "Another site's page may not ask for this.")
		return false
	}
	return true
}

// accessKey is the key that requests must show now; "": none.
func (h *handler) accessKey() string {
	if h.settings.AccessKey == nil {
		return ""
	}
	return h.settings.AccessKey()
}

// showsKey reports whether r shows the key, where there is one. It compares in constant
// time, and hashes first so that not even the length of the key shows.
func showsKey(r *http.Request, key string) bool {
	if key == "" {
		return true
	}
	shown := r.Header.Get("Outrider-Key")
	if shown == "" {
		if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
			shown = strings.TrimSpace(token)
		} else if _, password, ok := r.BasicAuth(); ok {
			shown = password
		}
	}
	want, got := sha256.Sum256([]byte(key)), sha256.Sum256([]byte(shown))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// knownHost reports whether a Host header names us. An IP address does: it is
// no name that could be made to resolve elsewhere.
func (h *handler) knownHost(authority string) bool {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = strings.Trim(authority, "[]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return !addr.IsUnspecified()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || // RFC 6761, section 6.3
		slices.ContainsFunc(h.settings.Hosts, func(name string) bool { return name != "" && strings.EqualFold(name, host) })
}
