package stale

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// A recording is one call whose answer may be kept, and then the body of that answer,
// which it copies while the caller reads it.
type recording struct {
	io.ReadCloser
	store *Store
	at    place
	begun time.Time
	keep  time.Duration // as the configuration has it
	head  bool          // the call is a HEAD: its answer has no body, whatever it says
	owner string        // see Settings.Owner

	resp   *http.Response // nil: the copy is of no use
	header http.Header    // as it came: on the way it is written to
	body   []byte
	held   int64 // bytes that the store counts for it: the capacity of body; under its lock
}

// copy begins to copy the body of an answer, and reports whether it is one to keep.
func (r *recording) copy(resp *http.Response) bool {
	if !keepable(resp, r.head) || allowed(resp.Header, r.keep) <= 0 {
		return false
	}
	r.ReadCloser, r.resp, r.header = resp.Body, resp, resp.Header.Clone()
	resp.Body = r
	return true
}

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.take(p[:n])
	switch {
	case err == io.EOF:
		r.store.end(r, r.answer())
	case err != nil: // what was kept before is the last good one still
		r.store.end(r, nil)
	}
	return n, err
}

func (r *recording) take(p []byte) {
	if r.resp == nil || len(p) == 0 {
		return
	}
	if len(r.body)+len(p) > MaxBody {
		r.store.superseded(r.at) // by one that is too long
		r.give()
		return
	}
	grown := append(r.body, p...)
	if more := cap(grown) - cap(r.body); more > 0 && !r.store.hold(r, int64(more)) {
		r.give()
		return
	}
	r.body = grown
}

// give ends the copy, whose body goes on.
func (r *recording) give() {
	r.store.end(r, nil)
	r.resp, r.body = nil, nil
}

// answer is the whole answer; nil: it is none.
func (r *recording) answer() *answer {
	if r.resp == nil || len(r.resp.Trailer) > 0 {
		return nil
	}
	length := int64(len(r.body))
	if r.head {
		length = r.resp.ContentLength
	} else if r.resp.ContentLength >= 0 && r.resp.ContentLength != length {
		return nil
	}
	return &answer{
		place: r.at, owner: r.owner, made: madeAt(r.begun, r.header), good: fresh(r.header, directivesOf(r.header)), limit: allowed(r.header, r.keep),
		status: r.resp.StatusCode, header: r.header, body: bytes.Clone(r.body), length: length,
		size: headerSize(r.header) + int64(len(r.body)),
	}
}

// Close ends a copy that has not come to its end: the caller did not want the rest.
func (r *recording) Close() error {
	r.give()
	return r.ReadCloser.Close()
}
