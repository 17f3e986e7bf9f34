package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"outrider/policy/config"
)

// adminTimeout bounds a question to a running Outrider.
const adminTimeout = 5 * time.Second

// ask gets a document from the admin port of a running Outrider. The way there
// never leads through a proxy: the proxy is who we ask.
func (c *commands) ask(ctx context.Context, path string, query url.Values, answer any) error {
	way, err := c.adminWay()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	data, err := way.send(ctx, question{path: path, query: query})
	if err != nil {
		return err
	}
	if !json.Valid(data) {
		return fmt.Errorf("%s answered with something that is no JSON%s", way.address, notOurs)
	}
	return json.Unmarshal(data, answer)
}

// A question is a request to the admin port.
type question struct {
	method string // "": GET
	path   string
	query  url.Values
	body   []byte    // nil: none
	stream io.Reader // in place of body, where it may be long
	kind   string    // content type of body
}

// payload is what a question brings.
func (q question) payload() io.Reader {
	if q.stream != nil {
		return q.stream
	}
	return bytes.NewReader(q.body)
}

// An adminWay leads to the admin port of an Outrider.
type adminWay struct {
	address   string
	key       string // "": none is asked for
	unread    error  // why the configuration could not say the address; nil: it could, or need not
	transport http.RoundTripper
}

// adminWay is the way to the Outrider that runs, if one does.
func (c *commands) adminWay() (adminWay, error) {
	address, key, err := c.adminAddress()
	if err != nil {
		return adminWay{}, err
	}
	_, _, unread := c.adminDocument()
	if c.admin != "" || os.Getenv(adminVariable) != "" {
		unread = nil
	}
	return adminWay{address, key, unread, &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialAt(ctx, address) },
	}}, nil
}

// send gives what is answered, to its end.
func (way adminWay) send(ctx context.Context, q question) ([]byte, error) {
	resp, err := way.open(ctx, q)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(io.LimitReader(resp.Body, 16<<20))
}

// open asks, and leaves what is answered to be read. An answer that is no success is an
// error, in its words.
func (way adminWay) open(ctx context.Context, q question) (*http.Response, error) {
	where := url.URL{Scheme: "http", Host: hostOfAdmin(way.address), Path: q.path, RawQuery: q.query.Encode()}
	req, err := http.NewRequestWithContext(ctx, q.method, where.String(), q.payload())
	if err != nil {
		return nil, err
	}
	if q.kind != "" {
		req.Header.Set("Content-Type", q.kind)
	}
	if way.key != "" {
		req.Header.Set("Outrider-Key", way.key)
	}
	resp, err := (&http.Client{Transport: way.transport}).Do(req)
	if err != nil {
		if plain, ok := errors.AsType[*url.Error](err); ok {
			err = plain.Err // its own text repeats the address
		}
		if way.unread != nil {
			err = fmt.Errorf("%w; the address in the configuration is not known: %w", err, way.unread)
		}
		return nil, fmt.Errorf("no Outrider answers at %s (start it with outrider run, or name its admin address with --admin): %w", way.address, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	return nil, &adminError{resp.StatusCode, fmt.Sprintf("%s answered %s%s", way.address, resp.Status, way.because(resp.Header, data))}
}

// because says why an answer is no success, and what can be done about it here.
func (way adminWay) because(header http.Header, answer []byte) string {
	var problem struct{ Type, Detail string } // its title is the status
	_ = json.Unmarshal(answer, &problem)
	kind, ours := strings.CutPrefix(problem.Type, "urn:outrider:problem:")
	switch {
	case !ours && header.Get("Outrider-Version") == "":
		return notOurs
	case kind == "key-required" && way.key == "":
		return ": it runs with an access_key: name its configuration with --config or $OUTRIDER_CONFIG, which says where the key is"
	case kind == "key-required":
		return ": it runs with another access_key than this configuration has: name its own with --config or $OUTRIDER_CONFIG"
	case problem.Detail == "":
		return ""
	}
	return ": " + problem.Detail
}

// notOurs is said of an answer that no Outrider gives.
const notOurs = ": this does not seem to be an Outrider; name the admin address of one with --admin"

// An adminError is an answer that is no success.
type adminError struct {
	status int
	text   string
}

func (e *adminError) Error() string { return e.text }

// hostOfAdmin is the Host of a question; a socket has none, and is local.
func hostOfAdmin(address string) string {
	if strings.HasPrefix(address, unixScheme) {
		return "localhost"
	}
	return address
}

// adminAddress is where a running Outrider listens for us, and its key. It is not lost by
// what is wrong elsewhere in the file: that somebody asks after an edit that was refused.
func (c *commands) adminAddress() (address, key string, err error) {
	document, accessKey, _ := c.adminDocument()
	address = c.admin
	if address == "" {
		address = os.Getenv(adminVariable)
	}
	if address == "" {
		address = document
	}
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	if accessKey != "" {
		if key, err = newSecrets().get(accessKey); err != nil {
			return "", "", usageError{fmt.Errorf("access_key: %w", err)}
		}
	}
	return address, key, nil
}

// adminDocument is what the configuration says of the admin port; the defaults, and the
// reason, if it cannot be read.
func (c *commands) adminDocument() (address string, accessKey config.Reference, err error) {
	path, data, err := c.source()
	if err != nil {
		return config.Default().Admin, "", err
	}
	return config.AdminOf(path, data)
}
