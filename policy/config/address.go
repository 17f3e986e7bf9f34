package config

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// optional lets a check pass what is empty.
func optional(c check[string]) check[string] {
	return func(v string) string {
		if v == "" {
			return ""
		}
		return c(v)
	}
}

// absolute takes the paths of Unix on every platform, since a file of secrets
// is mostly a mount in a container, and those of the platform besides.
func absolute(path string) bool {
	return strings.HasPrefix(path, "/") || filepath.IsAbs(path)
}

// unixScheme stands before the path of a Unix socket.
const unixScheme = "unix:"

// listenAddress checks the address of a listener: host:port, where port 0 asks the
// system for one, or unix:/path. A path has to fit into what the kernel has for
// it (sun_path, 104 bytes on macOS and the BSDs, with its end).
func listenAddress(v string) string {
	const form = `must be host:port, such as "127.0.0.1:8080", or a socket, "unix:/run/outrider.sock"`
	if path, ok := strings.CutPrefix(v, unixScheme); ok {
		switch {
		case !absolute(path) || strings.HasSuffix(path, "/"):
			return `must name a socket by its absolute path: "unix:/run/outrider.sock"`
		case len(path) > 103:
			return "must be a shorter path: a socket's has at most 103 bytes"
		}
		return ""
	}
	host, port, err := net.SplitHostPort(v)
	if err != nil || !validPort(port) {
		return form
	}
	if host != "" && hostProblem(host) != "" && !isIP(host) {
		return form
	}
	return ""
}

func validPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// loopback reports whether only this machine can reach the address. A name that
// is not localhost may resolve to anything, so it does not count.
func loopback(address string) bool {
	if strings.HasPrefix(address, unixScheme) {
		return true // and who may open it is for its file's permissions to say
	}
	host, _, _ := net.SplitHostPort(address)
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// sameListener reports whether two addresses cannot both be bound: the port is
// the same, and so is the host, or one of them stands for every host.
func sameListener(a, b string) bool {
	if strings.HasPrefix(a, unixScheme) || strings.HasPrefix(b, unixScheme) {
		return a == b
	}
	hostA, portA := listenerParts(a)
	hostB, portB := listenerParts(b)
	return portA == portB && portA != 0 && (hostA == hostB || hostA == "" || hostB == "")
}

func listenerParts(address string) (host string, port uint64) {
	host, text, _ := net.SplitHostPort(strings.ToLower(address))
	port, _ = strconv.ParseUint(text, 10, 16)
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
		if ip.IsUnspecified() {
			host = ""
		}
	}
	return host, port
}

// endpoint checks where telemetry goes; "" is nowhere.
func endpoint(v string) string {
	if v == "" {
		return ""
	}
	u, problem := parseURL(v)
	if problem == "" && u.RawQuery != "" {
		problem = "must not have a query"
	}
	return problem
}

// traceIDHole is where the id of a trace goes in a telemetry.trace_url.
const traceIDHole = "{trace_id}"

func traceURL(v string) string {
	if strings.Count(v, traceIDHole) != 1 {
		return `must have {trace_id} in it, such as "http://127.0.0.1:16686/trace/{trace_id}"`
	}
	u, err := url.Parse(strings.Replace(v, traceIDHole, "0", 1))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "must be a URL of http or https"
	}
	return ""
}

// baseURL reads where the calls of an upstream go.
func baseURL(key string) field[Upstream] {
	return field[Upstream]{key: key, read: func(n node, into *Upstream) {
		v, ok := readText(n)
		if !ok {
			return
		}
		u, problem := parseURL(v)
		if problem == "" && (u.RawQuery != "" || u.ForceQuery) {
			problem = "must not have a query: it is where paths begin"
		}
		if problem != "" {
			n.fail(problem)
			return
		}
		u.Host = strings.ToLower(u.Host)
		into.URL = u
	}}
}

const problemUserinfo = "must not hold a user name or password"

// parseURL reads an http or https URL. Its problems do not repeat the text,
// since people put passwords into URLs.
func parseURL(v string) (u *url.URL, problem string) {
	const form = `must be an http or https URL with a host, such as "https://api.example.com"`
	u, err := url.Parse(v)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, form
	case u.User != nil:
		return nil, problemUserinfo
	case strings.Contains(v, "#"):
		return nil, "must not have a fragment"
	}
	if port := u.Port(); strings.HasSuffix(u.Host, ":") || strings.HasPrefix(port, "0") || port != "" && !validPort(port) {
		return nil, "must have a port from 1 to 65535, or none"
	}
	if host := strings.ToLower(u.Hostname()); !isIP(host) {
		problem = hostProblem(host)
	}
	return u, problem
}

// authorityOf is the name of an upstream that gives no hosts: the host of its
// url, with the port unless it is the scheme's own.
func authorityOf(u *url.URL) string {
	port := u.Port()
	if port == "" || port == defaultPorts[u.Scheme] {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// scheme → port
var defaultPorts = map[string]string{"http": "80", "https": "443"}
