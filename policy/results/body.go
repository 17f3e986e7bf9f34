package results

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
)

// longest is how much of a body is looked at, in bytes, as it comes and unpacked.
const longest = 16 << 10

// Wrap returns a decorator that tells found whether there is something in the list of each
// answer that is a good one to a GET. The list is at the first of these paths at which there
// is one. found is called once for an answer of which that can be said, by whoever reads it,
// and must not block.
func Wrap(paths [][]string, found func(req *http.Request, empty bool)) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper { return &transport{paths, found, next} }
}

type transport struct {
	paths [][]string
	found func(*http.Request, bool)
	next  http.RoundTripper
}

// RoundTrip passes the answer on, with an eye on its body.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil || req.Method != http.MethodGet || resp.StatusCode != http.StatusOK || resp.Body == nil || resp.Body == http.NoBody {
		return resp, err
	}
	packed, legible := coding(resp.Header)
	if !legible {
		return resp, nil
	}
	resp.Body = &body{ReadCloser: resp.Body, paths: t.paths, packed: packed, found: func(f Finding) {
		if f != Unknown {
			t.found(req, f == Empty)
		}
	}}
	return resp, nil
}

// coding says whether a body is one to look into.
func coding(h http.Header) (packed, legible bool) {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return false, false
	}
	switch strings.ToLower(h.Get("Content-Encoding")) {
	case "", "identity":
		return false, true
	case "gzip", "x-gzip":
		return true, true
	}
	return false, false
}

// A body is looked into while it is read: with its first bytes, which mostly show it, and
// if not, when it ends or has come as far as is looked.
type body struct {
	io.ReadCloser
	paths  [][]string
	packed bool
	found  func(Finding)

	mu    sync.Mutex // it may be closed under a Read
	begin []byte
	over  bool // it was told, or cannot be
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return n, err
	}
	first := b.begin == nil
	b.begin = append(b.begin, p[:min(n, longest-len(b.begin))]...)
	switch {
	case err == io.EOF || len(b.begin) == longest:
		b.end(b.look())
	case err != nil:
		b.end(Unknown)
	case first && !b.packed:
		if f := b.look(); f != Unknown {
			b.end(f)
		}
	}
	return n, err
}

// Close ends the look: a reader of JSON may not want to see the end.
func (b *body) Close() error {
	b.mu.Lock()
	if !b.over {
		b.end(b.look())
	}
	b.mu.Unlock()
	return b.ReadCloser.Close()
}

// end tells what was found. The lock is held.
func (b *body) end(f Finding) {
	b.over, b.begin = true, nil
	b.found(f)
}

// look is what is found in what was read until now.
func (b *body) look() Finding {
	text := b.begin
	if b.packed {
		text = unpacked(text)
	}
	for _, path := range b.paths {
		if f := Look(text, path); f != Unknown {
			return f
		}
	}
	return Unknown
}

// unpacked is the beginning of what was compressed by gzip, from its own beginning.
func unpacked(b []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(io.LimitReader(r, longest))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return plain
}
