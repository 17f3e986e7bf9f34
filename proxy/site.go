package proxy

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// A page in a browser must not spend our credentials on a provider of another site, even
// where it cannot read the answer. Browsers say from where a request comes with
// Sec-Fetch-Site (W3C Fetch Metadata), which no page can set: but not to plain HTTP, other
// than on loopback, and not all of them with a WebSocket.

// toldSite is what a browser says of the site that made it send something; ok is false where
// it does not, or where it is no browser.
func toldSite(header http.Header) (another, ok bool) {
	site := header["Sec-Fetch-Site"]
	if len(site) == 0 || site[0] == "" {
		return false, false
	}
	return site[0] == "cross-site", true
}

// fromAnotherSite reports whether a page of another site made a browser send this by base
// URL: a WebSocket has an Origin at least. Programs may send an Origin of their own making
// with anything else.
func (at *address) fromAnotherSite(header http.Header) bool {
	if another, told := toldSite(header); told {
		return another
	}
	origin := header["Origin"]
	if len(origin) == 0 || origin[0] == "" || header.Get("Upgrade") == "" {
		return false
	}
	u, err := url.Parse(origin[0])
	return err != nil || !at.accepts(hostOf(u.Host))
}

// leadsAcrossSites reports the same of what came by proxy, for host. Where a browser does not
// say it, its Origin does, or its Referer; plain HTTP with neither may come from anywhere.
// Programs have no need to say where they come from. Who calls itself a browser is taken for
// one: that is the one thing about a request that a page cannot change.
func leadsAcrossSites(header http.Header, host string, secure bool) bool {
	if another, told := toldSite(header); told {
		return another
	}
	browser := strings.HasPrefix(header.Get("User-Agent"), "Mozilla/")
	from := header.Get("Origin")
	switch {
	case !browser && (from == "" || header.Get("Upgrade") == ""):
		return false
	case from == "":
		from = header.Get("Referer")
	}
	if from == "" {
		return !secure
	}
	u, err := url.Parse(from)
	return err != nil || !sameSite(hostOf(u.Host), hostOf(host))
}

// sameSite reports whether two hosts belong to one owner, as far as browsers go: the same
// registrable domain (HTML Standard section 7.1.1.1, schemes apart).
func sameSite(a, b string) bool {
	if a == b {
		return a != ""
	}
	for _, host := range []string{a, b} {
		if _, err := netip.ParseAddr(host); err == nil {
			return false
		}
	}
	site, err := publicsuffix.EffectiveTLDPlusOne(a)
	if err != nil {
		return false
	}
	other, err := publicsuffix.EffectiveTLDPlusOne(b)
	return err == nil && site == other
}
