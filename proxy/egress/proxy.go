package egress

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A Proxy is an HTTP proxy between us and the targets, as corporate networks
// have them. It is immutable, and shows its credentials to nobody but the proxy.
type Proxy struct {
	overTLS bool           // TLS to the proxy itself
	addr    string         // host:port
	auth    string         // value of Proxy-Authorization, "" without credentials
	roots   *x509.CertPool // for TLS to the proxy; nil: the system's
}

// ParseProxy reads http://[user:password@]host[:port] or https://…, which is
// TLS to the proxy, verified with the system's roots. The port is 80 or 443 if
// there is none; host:port alone is http. An error quotes nothing of raw, which
// may hold a password.
func ParseProxy(raw string) (*Proxy, error) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a proxy's URL, http://[user:password@]host[:port], with reserved characters in percent-encoding")
	}
	p := &Proxy{overTLS: u.Scheme == "https"}
	switch {
	case !p.overTLS && u.Scheme != "http":
		return nil, errors.New("the proxy's URL is neither http nor https: no other kind of proxy (SOCKS) is spoken to")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the proxy's URL has more than scheme, credentials, host and port")
	}
	if p.addr, err = authorityOf(u.Host, p.overTLS); err == nil {
		err = checkHostPort(p.addr)
	}
	if err != nil {
		return nil, errors.New("the proxy's URL has no valid host and port")
	}
	p.auth, err = basic(u.User)
	return p, err
}

// basic renders credentials as RFC 7617 has it, which has no room for a colon
// in the name.
func basic(user *url.Userinfo) (string, error) {
	if user == nil {
		return "", nil
	}
	if strings.Contains(user.Username(), ":") {
		return "", errors.New("the user name in the proxy's URL has a colon")
	}
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)), nil
}

// checkHostPort accepts a host and a port number, with nothing in them that
// could end a line.
func checkHostPort(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return invalid("address is not host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return invalid("port of the address")
	}
	return nil
}

// Addr is the proxy's host:port.
func (p *Proxy) Addr() string { return p.addr }

// String is the proxy's URL without credentials, "direct" for a nil one.
func (p *Proxy) String() string {
	switch {
	case p == nil:
		return "direct"
	case p.overTLS:
		return "https://" + p.addr
	}
	return "http://" + p.addr
}

// GoString is String, so that %#v shows no credentials either.
func (p *Proxy) GoString() string { return p.String() }

// A ProxyError is what a proxy, or the way to it, did to a call; it is wrapped
// in an [Error] of kind ProxyFailed. It names the proxy, never its credentials.
type ProxyError struct {
	Proxy  string // host:port
	Status int    // of its answer; 0: Err says why there is none
	Err    error
}

// Error implements error.
func (e *ProxyError) Error() string {
	s := "the proxy " + e.Proxy
	switch {
	case e.Status == http.StatusProxyAuthRequired:
		return s + " answered 407: it wants credentials, or other ones"
	case e.Status != 0:
		return s + " answered " + strconv.Itoa(e.Status)
	}
	return s + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *ProxyError) Unwrap() error { return e.Err }
