package auth

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The fields of a signature.
const (
	amzDate  = "X-Amz-Date"
	amzToken = "X-Amz-Security-Token" //nolint:gosec // a name
	amzBody  = "X-Amz-Content-Sha256" // the digest of the body, or why there is none
)

// An UnsignableError ends a call whose request cannot be signed as it is. Nothing was
// sent, or not all of a body whose pieces are signed one by one.
type UnsignableError struct {
	Reason string // and what would be right; it shows no value
}

func (e *UnsignableError) Error() string { return "sigv4: " + e.Reason }

// Refusal names the error for the stages above and for the answer to the caller.
func (e *UnsignableError) Refusal() (reason string, retryAfter time.Duration) {
	return "request-unsignable", 0
}

// prepare returns the request as it waits for its signature: without what its caller
// signed with, and with the digest of its body, so that nobody waits for a turn in
// vain, and no turn for a body.
func (t *Token) prepare(req *http.Request) (*injected, error) {
	scope, err := t.signing.scope(req.URL.Host)
	if err != nil {
		return nil, err
	}
	if err := checkQuery(req.URL.RawQuery); err != nil {
		return nil, err
	}
	if _, err := signedURL(req.URL, scope); err != nil {
		return nil, err
	}
	in := t.inject(req)
	if query := unambiguous(req.URL.RawQuery); query != req.URL.RawQuery {
		in.URL = new(url.URL)
		*in.URL = *req.URL
		in.URL.RawQuery = query
	}
	if in.Header = req.Header.Clone(); in.Header == nil {
		in.Header = http.Header{}
	}
	for _, name := range []string{authorization, amzDate, amzToken} {
		delete(in.Header, name)
	}
	digest, err := t.signing.payload(in, scope)
	if err != nil {
		return nil, err
	}
	in.Header[amzBody] = []string{digest}
	return in, nil
}

// checkQuery refuses queries that cannot be signed. A URL that somebody has signed
// already is not stripped of that: it carries another's right, with an end of its own,
// and would get ours in its place, for ever.
func checkQuery(raw string) error {
	for pair := range strings.SplitSeq(raw, "&") {
		for _, name := range []string{"X-Amz-Signature", "X-Amz-Credential", "AWSAccessKeyId"} {
			if hasName(pair, name) {
				return &UnsignableError{"the URL is signed already (" + name + "): send it without, or to an upstream with type passthrough"}
			}
		}
	}
	if _, err := url.ParseQuery(raw); err != nil {
		return &UnsignableError{"the query has a semicolon or a percent sign that is not encoded: write %3B and %25"}
	}
	return nil
}

// unambiguous is a query without what is read in two ways: a plus, which is a space in
// forms only, and a pair that is empty. A service sorts and encodes what it gets before
// it checks the signature, so that all else may stay as it is.
func unambiguous(raw string) string {
	raw = strings.ReplaceAll(raw, "+", "%20")
	if !strings.HasPrefix(raw, "&") && !strings.HasSuffix(raw, "&") && !strings.Contains(raw, "&&") {
		return raw
	}
	pairs := slices.DeleteFunc(strings.Split(raw, "&"), func(pair string) bool { return pair == "" })
	return strings.Join(pairs, "&")
}

// sign returns what prepare has made with the signature of now.
//
// The signer is a new one each time. It remembers derived keys by the access key id
// and not by the secret, so that one that was corrected would be of no use until the
// next day; and it remembers every region and service that a host has named.
func (t *Token) sign(req *http.Request, now time.Time) (*injected, error) {
	if err := t.bound(req); err != nil {
		return nil, err
	}
	k := t.signing
	scope, err := k.scope(req.URL.Host)
	if err != nil {
		return nil, err
	}
	in := t.inject(req)
	in.Header, in.Host = req.Header.Clone(), signedHost(req)
	digest := in.Header.Get(amzBody)
	if isDigest(digest) && !scope.showsDigest() {
		delete(in.Header, amzBody)
	}

	target, err := signedURL(req.URL, scope)
	if err != nil {
		return nil, err
	}
	signed := &http.Request{
		Method: cmp.Or(req.Method, http.MethodGet), URL: target, Host: in.Host,
		ContentLength: req.ContentLength, Header: signedFields(in.Header),
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = scope.storage() })
	credentials := aws.Credentials{AccessKeyID: k.id.Reveal(), SecretAccessKey: k.secret.Reveal(), SessionToken: k.session.Reveal()}
	at := now.Add(k.ahead)
	if err := signer.SignHTTP(req.Context(), credentials, signed, digest, scope.Service, scope.Region, at); err != nil {
		return nil, &UnavailableError{Err: err}
	}

	for _, name := range []string{authorization, amzDate, amzToken} {
		if values, there := signed.Header[name]; there {
			in.Header[name] = values
		}
	}
	_, signature, _ := strings.Cut(in.Header.Get(authorization), "Signature=")
	in.guard.hide(signature)
	if (digest == signedChunks || digest == signedTrailer) && in.Body != nil {
		in.Body = newChunks(in.Body, newChunkSigner(k.secret, scope, at, signature), k.set.ReplayBody)
		in.GetBody = nil // it would be what the caller signed
	}
	return in, nil
}

// signedFields are those that have to be signed: Content-Type, Content-MD5 and all of
// AWS's own, besides the host and the length. Others may be changed by whoever passes
// the request on.
func signedFields(header http.Header) http.Header {
	signed := make(http.Header, 4)
	for name, values := range header {
		if len(values) > 0 && (name == "Content-Type" || name == "Content-Md5" || strings.HasPrefix(name, "X-Amz-")) {
			signed[name] = values
		}
	}
	return signed
}

// signedHost is the Host that is sent and signed: without the scheme's own port, which
// some clients write and no signer expects.
func signedHost(req *http.Request) string {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	name, port, err := net.SplitHostPort(host)
	switch {
	case err != nil || port != "443" && req.URL.Scheme == "https" || port != "80" && req.URL.Scheme == "http":
		return host
	case strings.Contains(name, ":"):
		return "[" + name + "]"
	}
	return name
}

// signedURL is a copy of u with the path as it is signed. S3 signs the name of the
// object in one encoding, however it was written in the request; elsewhere the path
// is signed as a service reads it, in its own bytes, encoded once more.
func signedURL(u *url.URL, scope Scope) (*url.URL, error) {
	raw := u.EscapedPath()
	if rest, ok := strings.CutPrefix(u.Opaque, "//"); ok {
		_, raw, _ = strings.Cut(rest, "/")
		raw = "/" + raw
	}
	if scope.storage() {
		plain, err := url.PathUnescape(raw)
		if err != nil {
			return nil, &UnsignableError{"the path has a percent sign that is not encoded: write %25"}
		}
		raw = strings.ReplaceAll(escape(plain), "%2F", "/")
	} else {
		raw = normal(raw)
	}
	signed := *u
	signed.Opaque = "//" + u.Host + raw
	return &signed, nil
}

// normal is a path without segments that are empty, "." or "..", as services read it
// before they check a signature ("Create a signed AWS API request", canonical URI). A
// base URL that ends with a slash brings empty ones.
func normal(raw string) string {
	clean := path.Clean("/" + raw)
	if strings.HasSuffix(raw, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}
