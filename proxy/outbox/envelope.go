package outbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
)

// envelopeVersion is that of the envelopes that we write, and the newest that we read.
const envelopeVersion = 1

// errNewer is the error of an envelope that a later Outrider has written.
var errNewer = errors.New("it was kept by a newer version of Outrider, which can send it")

// An envelope is a Letter as it is kept, sealed by the store. What need not be UTF-8 is kept
// as bytes.
type envelope struct {
	Version     int          `json:"version"`
	Upstream    string       `json:"upstream"`
	Connection  string       `json:"connection,omitempty"`
	Method      string       `json:"method"`
	Scheme      string       `json:"scheme,omitempty"`
	Host        string       `json:"host,omitempty"`
	Target      []byte       `json:"target"`
	Header      headerFields `json:"header,omitempty"`
	Trailer     headerFields `json:"trailer,omitempty"`
	Key         []byte       `json:"key,omitempty"`
	KeyHeader   string       `json:"key_header,omitempty"`
	Idempotent  bool         `json:"idempotent,omitempty"`
	OrderKey    []byte       `json:"order_key,omitempty"`
	DedupKey    []byte       `json:"dedup_key,omitempty"`
	Callback    string       `json:"callback,omitempty"`
	Location    string       `json:"location,omitempty"`
	Caller      []byte       `json:"caller,omitempty"`
	Priority    string       `json:"priority,omitempty"`
	Traceparent string       `json:"traceparent,omitempty"`
	BodySize    int64        `json:"body_size"`
	BodySHA256  []byte       `json:"body_sha256"`
}

// headerFields are name → values of a header. RFC 9110 section 5.5 allows bytes in values
// that are no text of any encoding.
type headerFields map[string][][]byte

func fieldsOf(header http.Header) headerFields {
	if len(header) == 0 {
		return nil
	}
	fields := make(headerFields, len(header))
	for name, values := range header {
		kept := make([][]byte, len(values))
		for i, value := range values {
			kept[i] = []byte(value)
		}
		fields[name] = kept
	}
	return fields
}

func (f headerFields) header() http.Header {
	if f == nil {
		return nil
	}
	header := make(http.Header, len(f))
	for name, values := range f {
		kept := make([]string, len(values))
		for i, value := range values {
			kept[i] = string(value)
		}
		header[name] = kept
	}
	return header
}

// seal gives the envelope of a letter.
func (l *Letter) seal() ([]byte, error) {
	data, err := json.Marshal(envelope{
		Version: envelopeVersion, Upstream: l.Upstream, Connection: l.Connection,
		Method: l.Method, Scheme: l.Scheme, Host: l.Host, Target: []byte(l.Target),
		Header: fieldsOf(l.Header), Trailer: fieldsOf(l.Trailer),
		Key: []byte(l.Key), KeyHeader: l.KeyHeader, Idempotent: l.Idempotent,
		OrderKey: []byte(l.OrderKey), DedupKey: []byte(l.DedupKey), Callback: l.Callback, Location: l.Location,
		Caller: []byte(l.Caller), Priority: l.Priority, Traceparent: l.Traceparent,
		BodySize: l.BodySize, BodySHA256: l.BodySHA256,
	})
	if err != nil {
		return nil, fmt.Errorf("writing the envelope: %w", err)
	}
	return data, nil
}

// open reads the envelope of a letter. The error does not show what is in it.
func open(id string, data []byte) (*Letter, error) {
	var version struct{ Version int }
	if err := json.Unmarshal(data, &version); err != nil || version.Version < 1 {
		return nil, errors.New("reading the envelope: it is none")
	}
	if version.Version > envelopeVersion {
		return nil, errNewer
	}
	var e envelope
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return nil, errors.New("reading the envelope: a member of it is wrong")
	}
	if e.Upstream == "" || e.Method == "" || e.BodySize < 0 || len(e.BodySHA256) != sha256.Size {
		return nil, errors.New("reading the envelope: a member of it is missing")
	}
	return &Letter{
		ID: id, Upstream: e.Upstream, Connection: e.Connection,
		Method: e.Method, Scheme: e.Scheme, Host: e.Host, Target: string(e.Target),
		Header: e.Header.header(), Trailer: e.Trailer.header(),
		Key: string(e.Key), KeyHeader: e.KeyHeader, Idempotent: e.Idempotent,
		OrderKey: string(e.OrderKey), DedupKey: string(e.DedupKey), Callback: e.Callback, Location: e.Location,
		Caller: string(e.Caller), Priority: e.Priority, Traceparent: e.Traceparent,
		BodySize: e.BodySize, BodySHA256: e.BodySHA256,
	}, nil
}

// fingerprint tells two requests apart that have one key, beside their bodies: where they go,
// and how the body is coded. Other headers differ from one try of a client to the next.
func (l *Letter) fingerprint() []byte {
	sum := sha256.New()
	parts := []string{l.Upstream, l.Connection, l.Method, l.Scheme, l.Host, l.Target}
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		parts = append(parts, l.Header.Values(name)...)
	}
	for _, part := range parts {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part) // a hash never fails
	}
	return sum.Sum(nil)
}

// errChanged is the error of a kept body that is not the one that was accepted.
var errChanged = errors.New("the kept body is not the one that was accepted")

// checked reads a body that was kept, and fails at its end if it is not the one that l says.
func (l *Letter) checked(body io.ReadCloser) io.ReadCloser {
	return &checkedBody{ReadCloser: body, sum: sha256.New(), left: l.BodySize, want: l.BodySHA256}
}

type checkedBody struct {
	io.ReadCloser
	sum  hash.Hash
	left int64
	want []byte
}

// Read implements io.Reader.
func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	_, _ = b.sum.Write(p[:n]) // a hash never fails
	b.left -= int64(n)
	if b.left < 0 || err == io.EOF && (b.left > 0 || !bytes.Equal(b.sum.Sum(nil), b.want)) {
		return n, errChanged
	}
	return n, err
}
