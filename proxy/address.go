package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/framing"
	"outrider/proxy/outbox"

	"golang.org/x/net/http/httpguts"
)

// Address makes a letter of a line of a file that is imported, as if it had come in as a
// call. The error says what is wrong with the line. Whether its connection exists, which
// only the store may know, is seen when it is sent.
func Address(set *policy.Set, l *outbox.Line) (*outbox.Letter, error) {
	if err := checkMethod(l.Method); err != nil {
		return nil, err
	}
	header, err := lineHeader(l.Header)
	if err != nil {
		return nil, err
	}
	to, err := routeLine(set, l)
	if err != nil {
		return nil, err
	}
	if to.plan.Policy.Outbox == config.OutboxNever {
		return nil, fmt.Errorf(`%s of [upstream.%s] is not kept: outbox is "never" there`, l.Method, to.upstream.Config.Name)
	}
	asked, err := controls(header)
	if err != nil {
		return nil, detailOf(err)
	}
	if l.Connection != "" {
		asked.Connection = &l.Connection
	}
	if asked.Connection != nil {
		if problem := config.ConnectionName(*asked.Connection); problem != "" {
			return nil, fmt.Errorf("connection %s: %s", quote(*asked.Connection), problem)
		}
	}
	letter, err := letterOf(to.plan, outbound(context.Background(), requestOf(l.Method, header), to), to.target)
	if err != nil {
		return nil, detailOf(err)
	}
	addressed(letter, to, asked.Connection)
	if _, err := wishes(letter, header); err != nil {
		return nil, detailOf(err)
	}
	if l.OrderKey != "" {
		letter.OrderKey = l.OrderKey
	}
	if l.DedupKey != "" {
		letter.DedupKey = "dedup " + l.DedupKey
	}
	letter.Idempotent = letter.Idempotent || asked.Idempotent
	letter.Caller, letter.Priority = header.Get("Outrider-Caller"), header.Get("Outrider-Priority")
	return letter, nil
}

// Amend holds a letter that somebody has changed to what its call would have been held to: it
// goes to an upstream that there is, its header is one, and has no credential of its own. sent
// is the letter as it was. What of its header would not be sent now is taken away, and refused
// where it is new: somebody wants it to be sent. The error says what is wrong with the change.
func Amend(set *policy.Set, l, sent *outbox.Letter) error {
	if err := checkMethod(l.Method); err != nil {
		return err
	}
	header, err := lineHeader(l.Header)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if realmOf(name) == forUs {
			return fmt.Errorf("header %s: speaks to Outrider when a call is made, and is no part of a letter", name)
		}
	}
	if bad := framing.CheckTarget(l.Target); bad != nil {
		return fmt.Errorf("target %s: %s", quote(l.Target), bad.Reason)
	}
	if !httpguts.ValidHeaderFieldValue(l.Key) || len(l.Key) > longestKey {
		return fmt.Errorf("key: must be what a header may have, of %d bytes at most", longestKey)
	}
	to, err := routeLetter(set, l)
	if err != nil {
		return detailOf(err)
	}
	amended, err := letterOf(to.plan, outbound(context.Background(), requestOf(l.Method, header), to), to.target)
	if err != nil {
		return detailOf(err)
	}
	if amended.Key != "" {
		return fmt.Errorf("header %s: is the idempotency key of the letter, which key says", amended.KeyHeader)
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if _, stays := amended.Header[name]; !stays && name != amended.KeyHeader && !slices.Equal(header[name], sent.Header[name]) {
			return fmt.Errorf("header %s: %s", name, whyNotSent(name, header["Connection"], l.Upstream))
		}
	}
	l.Header, l.Target = amended.Header, amended.Target
	return nil
}

// whyNotSent is why a field of a header is not sent with a letter to an upstream.
func whyNotSent(name string, connection []string, upstream string) string {
	switch {
	case name == "Content-Length", name == "Transfer-Encoding":
		return "follows from the body, and is set when the letter is sent"
	case realmOf(name) == forHop, name == "Expect", name == "Early-Data", httpguts.HeaderValuesContainsToken(connection, name):
		return "is about the connection that a letter is sent by, and no part of it"
	case realmOf(name) == forTrace:
		return "is about a trace, of which [upstream." + upstream + "] learns nothing (propagate = false)"
	}
	return "the credential of [upstream." + upstream + "] takes its place when the letter is sent"
}

func checkMethod(method string) error {
	if !httpguts.ValidHeaderFieldName(method) || method == http.MethodConnect || method == http.MethodTrace {
		return fmt.Errorf("method %s: must be one of HTTP, such as POST", quote(method))
	}
	return nil
}

// requestOf is a request that somebody has written down. Nobody is there who could speak
// another protocol on its connection, which a body, if only an unknown one, tells.
func requestOf(method string, header http.Header) *http.Request {
	return &http.Request{Method: method, Header: header, ContentLength: -1, ProtoMajor: 1, ProtoMinor: 1}
}

// detailOf is what a problem says, without its slug, which is for clients.
func detailOf(err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return errors.New(p.detail)
	}
	return err
}

// lineHeader is the header of a line, with the names as they are compared.
func lineHeader(lines http.Header) (http.Header, error) {
	header := make(http.Header, len(lines))
	for name, values := range lines {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("header %s: is no name of one", quote(name))
		}
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if canonical == "Host" {
			return nil, errors.New("header Host: follows from the url")
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return nil, fmt.Errorf("header %s: its value has characters that no header may have", canonical)
			}
		}
		header[canonical] = append(header[canonical], values...)
	}
	return header, nil
}

// routeLine finds out where a line wants to go: by its url, like a client of the proxy, or
// by upstream and path, like a base URL.
func routeLine(set *policy.Set, l *outbox.Line) (route, error) {
	if l.URL == "" {
		u, ok := set.ByName(l.Upstream)
		if !ok {
			return route{}, detailOf(unknownUpstream(set, l.Upstream))
		}
		if bad := framing.CheckTarget(l.Path); bad != nil {
			return route{}, fmt.Errorf("path %s: %s", quote(l.Path), bad.Reason)
		}
		t := splitTarget(l.Path)
		t.path = u.BasePath() + t.path
		scheme, host := u.Origin("")
		return route{formBaseURL, u, u.Plan(l.Method, t.path), scheme, host, t, ""}, nil
	}
	at, err := url.Parse(l.URL)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil || strings.Contains(l.URL, "#") {
		return route{}, errors.New("url: must be one of http or https, without a user name and a fragment")
	}
	target := originForm(l.URL)
	if bad := framing.CheckTarget(target); bad != nil {
		return route{}, fmt.Errorf("url: %s", bad.Reason)
	}
	u, listed := set.ByHost(at.Host)
	if !listed {
		return route{}, fmt.Errorf("url: no [upstream] names the host %s", quote(at.Host))
	}
	t := splitTarget(target)
	scheme, host := u.Origin(at.Host)
	return route{formForward, u, u.Plan(l.Method, t.path), scheme, host, t, at.Host}, nil
}
