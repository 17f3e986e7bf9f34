package proxy

import (
	"cmp"
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
// URL. Where a browser does not say it, as to an address that is no loopback for it
// (0.0.0.0), its Origin or Referer does; and a WebSocket has an Origin at least. Programs may
// send an Origin of their own making with anything else.
func (at *address) fromAnotherSite(header http.Header, host string) bool {
	if another, told := toldSite(header); told {
		return another
	}
	browser := isBrowser(header)
	from := header.Get("Origin")
	switch {
	case from == "" && !browser, from != "" && !browser && header.Get("Upgrade") == "":
		return false
	case from == "":
		from = header.Get("Referer")
	}
	if from == "" {
		ip, err := netip.ParseAddr(hostOf(host))
		return err == nil && ip.IsUnspecified()
	}
	u, err := url.Parse(from)
	return err != nil || !at.accepts(hostOf(u.Host))
}

// leadsAcrossSites reports the same of what came by proxy, for host. Where a browser does not
// say it, its Origin does, or its Referer; plain HTTP with neither may come from anywhere.
// Programs have no need to say where they come from.
func leadsAcrossSites(header http.Header, host string, secure bool) bool {
	if another, told := toldSite(header); told {
		return another
	}
	if !isBrowser(header) {
		return false
	}
	from := cmp.Or(header.Get("Origin"), header.Get("Referer"))
	if from == "" {
		return !secure
	}
	u, err := url.Parse(from)
	return err != nil || !sameSite(hostOf(u.Host), hostOf(host))
}

// isBrowser reports what a request says of its sender, which is the one thing about it that a
// page cannot change. PowerShell calls itself Mozilla, too.
func isBrowser(header http.Header) bool {
	agent := header.Get("User-Agent")
	return strings.HasPrefix(agent, "Mozilla/") && !strings.Contains(agent, "PowerShell/")
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
