package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"outrider/policy/config"
)

// silence is how long a client may say nothing inside of its request's body, and
// read nothing of its answer, where no upstream's idle_timeout applies. linger is
// how long the rest of a body may take that nobody wants any more.
const (
	silence = 5 * time.Minute
	linger  = time.Second
)

// past is a time that wakes every read.
var past = time.Unix(1, 0)

// An upload is the body of a request as it comes from the client. It is counted,
// and a client that falls silent is not waited for without end.
type upload struct {
	io.ReadCloser
	conn     http.ResponseController
	patience time.Duration // for a client that says nothing
	shared   bool          // the answer may begin before the body has ended

	reading sync.Mutex // held by Read
	turning sync.Mutex // held while the read deadline is changed
	waits   bool       // a Read is under way; guarded by turning
	n       atomic.Int64
	ended   atomic.Bool // all of it was read
	silent  atomic.Bool // patience was not enough
	left    atomic.Bool // nobody wants the rest
	cut     atomic.Bool // left before it had ended
}

func newUpload(w http.ResponseWriter, body io.ReadCloser) *upload {
	u := &upload{ReadCloser: body, conn: *http.NewResponseController(w), patience: silence}
	// Also for the rest of a body that the server reads when the call was refused.
	_ = u.conn.SetReadDeadline(time.Now().Add(u.patience))
	return u
}

func (u *upload) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if u.left.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	began := time.Now()
	if !u.begin(began) {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := u.ReadCloser.Read(p)
	u.finished(err)
	u.n.Add(int64(n))
	switch late := errors.Is(err, os.ErrDeadlineExceeded); {
	case err == io.EOF:
		u.ended.Store(true)
	case late && time.Since(began) >= u.patience:
		u.silent.Store(true)
	case late && u.left.Load(): // it was we who ended it
		err = http.ErrBodyReadAfterClose
	}
	return n, err
}

// begin gives the client its time for the next of its body, unless nobody wants it.
func (u *upload) begin(now time.Time) bool {
	u.turning.Lock()
	defer u.turning.Unlock()
	if u.left.Load() {
		return false
	}
	u.waits = true
	_ = u.conn.SetReadDeadline(now.Add(u.patience))
	return true
}

// finished lifts the deadline at the end of the body: what comes behind it is not
// its business.
func (u *upload) finished(err error) {
	u.turning.Lock()
	defer u.turning.Unlock()
	u.waits = false
	if err == io.EOF {
		_ = u.conn.SetReadDeadline(time.Time{})
	}
}

// spare gives a client its time anew, which has just taken something of its answer:
// where both directions flow on their own, it may have nothing to say for long.
func (u *upload) spare() {
	if u.ended.Load() {
		return
	}
	u.turning.Lock()
	defer u.turning.Unlock()
	if u.waits && !u.left.Load() {
		_ = u.conn.SetReadDeadline(time.Now().Add(u.patience))
	}
}

// abandon wakes a Read that is under way: nobody wants the rest.
func (u *upload) abandon() {
	u.turning.Lock()
	defer u.turning.Unlock()
	u.left.Store(true)
	if u.ended.Load() {
		return
	}
	u.cut.Store(true)
	_ = u.conn.SetReadDeadline(past)
}

// leave ends a Read that is under way on another goroutine, waits for it, and
// leaves the rest of the body to the server, for a moment.
func (u *upload) leave() {
	u.abandon()
	if u.ended.Load() {
		return
	}
	u.reading.Lock()
	defer u.reading.Unlock()
	if !u.ended.Load() {
		_ = u.conn.SetReadDeadline(time.Now().Add(linger))
	}
}

// open reports that an answer which begins now overtakes its request. What is
// still to come of that must not be taken for the next request, so that the
// connection has to end with the answer.
func (u *upload) open() bool {
	return u != nil && u.shared && (u.cut.Load() || !u.ended.Load())
}

// fault is what the client did wrong.
func (u *upload) fault() error {
	return &problem{slug: "malformed-request", status: http.StatusRequestTimeout,
		detail: "nothing came of the request's body for " + config.Duration(u.patience).String()}
}
