package stale

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxBody is how long a body may be that is kept, in bytes.
const MaxBody = 256 << 10

// keptStatus are the statuses of what is kept.
var keptStatus = map[int]bool{
	http.StatusOK: true, http.StatusNonAuthoritativeInfo: true,
	http.StatusMovedPermanently: true, http.StatusPermanentRedirect: true,
}

// telling are the answers beside 2xx and 3xx after which an earlier one is not the last
// good one any more.
var telling = map[int]bool{http.StatusNotFound: true, http.StatusGone: true, http.StatusUnavailableForLegalReasons: true}

// keepable reports whether an answer is one to keep, by what its head says. head: it is
// that of a HEAD.
func keepable(resp *http.Response, head bool) bool {
	if !keptStatus[resp.StatusCode] || resp.ContentLength > MaxBody && !head {
		return false
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind != "text/event-stream" && len(resp.Trailer) == 0 &&
		len(resp.Header.Values("Set-Cookie")) == 0 && !variesByPassing(resp.Header)
}

// supersedes reports whether a good answer that is not kept is news all the same: what
// was there before is another thing now, or none. A 304 says that nothing has changed.
func supersedes(status int) bool {
	return status >= 200 && status < 400 && status != http.StatusNotModified || telling[status]
}

// An answer is one that is kept. It does not change.
type answer struct {
	place
	owner  string        // see Settings.Owner
	made   time.Time     // when it was asked for, less the age that it came with
	good   time.Duration // from made on, for which the answer says that it is good
	limit  time.Duration // from made on, after which it is given to nobody
	status int
	header http.Header
	body   []byte
	length int64 // as the response had it: that of a HEAD is not the body's
	size   int64 // in memory, about
}

// A place is where an answer is kept.
type place struct {
	page, variant digest
	credential    string // as the quotas are named: no secret
}

// What an answer, and a line of its header, takes beside its bytes: about what was measured.
const (
	overhead     = 1 << 10
	lineOverhead = 64
)

// headerSize is about what a header takes.
func headerSize(header http.Header) int64 {
	size := int64(overhead)
	for name, values := range header {
		size += int64(len(name))
		for _, value := range values {
			size += int64(len(value)) + lineOverhead
		}
	}
	return size
}

// madeAt is when an answer was made that was asked for at begun. An earlier cache says how
// old it was then (RFC 9111 section 4.2.3); the date of a server whose clock is wrong
// makes nothing old.
func madeAt(begun time.Time, header http.Header) time.Time {
	return begun.Add(-deltaSeconds(strings.TrimSpace(header.Get("Age"))))
}

// age is how old an answer is. The clock that measures it stands still while a laptop
// sleeps, and the one on the wall may be set back: the one that says more is heard.
func (a *answer) age(now time.Time) time.Duration {
	return max(now.Sub(a.made), now.Round(0).Sub(a.made), 0)
}

// response gives the answer again, in place of a failure.
func (a *answer) response(req *http.Request, f Failure, age time.Duration) *http.Response {
	header := a.header.Clone()
	header["Age"] = []string{strconv.FormatInt(int64(age/time.Second), 10)}
	header["Cache-Status"] = append(header["Cache-Status"], a.cacheStatus(f, age))
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: a.length, Request: req,
	}
}

// cacheStatus is our member of the field. One that was forwarded is no hit, though the
// answer is an old one; they exclude each other (RFC 9211 section 2). A hit that is
// stale has a ttl below zero.
func (a *answer) cacheStatus(f Failure, age time.Duration) string {
	text := "outrider; "
	switch {
	case f.Local:
		text += fmt.Sprintf("hit; ttl=%d", int64((a.good-age)/time.Second))
	case f.Status != 0:
		text += fmt.Sprintf("fwd=stale; fwd-status=%d", f.Status)
	default:
		text += "fwd=stale"
	}
	return text + fmt.Sprintf("; detail=%q", f.Reason)
}
