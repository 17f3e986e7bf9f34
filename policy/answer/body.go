package answer

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	longest  = 64 << 10        // bytes of a body that are read, and of what it unpacks to; see look.longest
	patience = 2 * time.Second // for which it is waited for
	chunk    = 4 << 10         // bytes that are read at a time
)

// text reads the body of an answer, if it is JSON of at most most bytes and comes within d;
// it is nil otherwise. The answer to go on with is the one that is returned: what was read
// is in front of its body.
func text(resp *http.Response, most int, d time.Duration) (*http.Response, []byte) {
	packed := false
	switch strings.ToLower(resp.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip", "x-gzip":
		packed = true
	default:
		return resp, nil
	}
	if resp.Body == nil || resp.Body == http.NoBody || resp.ContentLength > int64(most) || !isJSON(resp.Header.Get("Content-Type")) || d <= 0 {
		return resp, nil
	}
	b := newReadAhead(resp, most)
	whole, ok := b.whole(d)
	if !ok {
		return &b.resp, nil
	}
	if packed {
		whole = unpacked(whole, most)
	}
	return &b.resp, bytes.TrimPrefix(whole, []byte("\xef\xbb\xbf")) // a byte order mark may be ignored (RFC 8259 section 8.1)
}

// isJSON reports whether a media type is of JSON (RFC 8259, RFC 6839 section 3.1), also as
// AWS has it: "application/x-amz-json-1.0".
func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasPrefix(kind, "application/x-amz-json-") ||
		strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"))
}

// unpacked is what was compressed by gzip; nil if it was not, or is too long.
func unpacked(b []byte, most int) []byte {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err != nil || len(plain) > most {
		return nil
	}
	return plain
}

// A readAhead is a body whose beginning was read before anybody asked for it. A
// goroutine reads, so that nobody has to wait for more than they want to; it ends with
// the body, after most bytes, or with the read that is under way when stop is set.
//
// The last read of a body writes into the trailers of its answer. So its reader has an
// answer with trailers of its own, which come when it has read to the end.
type readAhead struct {
	body io.ReadCloser
	from *http.Response // whose body it was
	resp http.Response  // that its reader has
	most int            // bytes that are read
	left chan struct{}  // closed when the goroutine has left body to its reader

	mu    sync.Mutex
	begin []byte // what was read, and not given out yet
	err   error  // that ended the reading
	stop  bool   // nobody waits for more
}

func newReadAhead(from *http.Response, most int) *readAhead {
	b := &readAhead{body: from.Body, from: from, resp: *from, most: most, left: make(chan struct{})}
	b.resp.Body, b.resp.Trailer = b, from.Trailer.Clone()
	return b
}

// whole gives the body, if it comes within d and is not too long. It is called once,
// before anybody reads.
func (b *readAhead) whole(d time.Duration) ([]byte, bool) {
	go b.run()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-b.left:
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop = true
	return b.begin, b.err == io.EOF && len(b.begin) <= b.most
}

func (b *readAhead) run() {
	defer close(b.left)
	buffer := make([]byte, chunk)
	for more := true; more; {
		n, err := b.body.Read(buffer)
		b.mu.Lock()
		b.begin, b.err = append(b.begin, buffer[:n]...), err
		more = err == nil && len(b.begin) <= b.most && !b.stop
		b.mu.Unlock()
	}
}

// Read gives what was read ahead, and then the rest, as it comes.
func (b *readAhead) Read(p []byte) (int, error) {
	if n := b.take(p); n > 0 || len(p) == 0 {
		return n, nil
	}
	<-b.left // for no longer than a read of the body itself would last
	if n := b.take(p); n > 0 {
		return n, nil
	}
	n, err := 0, b.err
	if err == nil {
		n, err = b.body.Read(p)
	}
	if err != nil {
		b.trailers()
	}
	return n, err
}

// trailers gives the reader those that came with the end of the body.
func (b *readAhead) trailers() {
	if b.resp.Trailer == nil {
		b.resp.Trailer = b.from.Trailer
		return
	}
	maps.Copy(b.resp.Trailer, b.from.Trailer)
}

func (b *readAhead) take(p []byte) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := copy(p, b.begin)
	b.begin = b.begin[n:]
	return n
}

// Close closes the body, also under a read of the goroutine: that ends it.
func (b *readAhead) Close() error { return b.body.Close() }
