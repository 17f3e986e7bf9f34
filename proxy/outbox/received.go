package outbox

import (
	"bytes"
	"io"
	"net/http"
)

// heldAnswer is how much of the body of an answer is held in memory until the store has it,
// in bytes. If the store fails while it writes a longer one, this is what is written in the
// end.
const heldAnswer = 1 << 20

// lostAnswer is how much is held on of it where the letter is lost before the store has it:
// there may be many, and for long.
const lostAnswer = 64 << 10

// A received answer is one that is to be kept.
type received struct {
	answerHead
	held []byte
	rest io.Reader // of the body; nil: nothing
	body io.Closer
}

// receive takes an answer, and reads its body as far as it is held in memory. At most max
// bytes of it will be kept. A body that breaks off is an answer, too.
func receive(resp *http.Response, max int64) *received {
	a := &received{body: resp.Body, answerHead: answerHead{
		Version: answerVersion, Status: resp.StatusCode, Header: fieldsOf(resp.Header),
	}}
	held, err := io.ReadAll(io.LimitReader(resp.Body, min(heldAnswer, max)))
	a.held, a.Size, a.Truncated = held, int64(len(held)), err != nil
	if err != nil {
		return a
	}
	var next [1]byte
	switch n, err := io.ReadFull(resp.Body, next[:]); {
	case n == 0:
		a.Truncated = err != io.EOF
		a.Trailer = fieldsOf(resp.Trailer)
	case a.Size == max:
		a.Truncated = true
	default:
		a.rest = &marking{from: io.MultiReader(bytes.NewReader(next[:]), resp.Body), left: max - a.Size}
	}
	return a
}

// content is what is written of it now. A second time what was not held is missing.
func (a *received) content() (head []byte, body io.Reader, err error) {
	now := a.answerHead
	body = bytes.NewReader(a.held)
	if a.rest != nil {
		now.Marked, now.Size = true, -1
		body = io.MultiReader(body, a.rest)
		a.rest, a.Truncated = nil, true
	}
	head, err = now.seal()
	return head, body, err
}

// shorten has no more of it held than lostAnswer. It may be called for none.
func (a *received) shorten() {
	if a != nil && len(a.held) > lostAnswer {
		a.held = bytes.Clone(a.held[:lostAnswer])
		a.Size, a.Truncated = lostAnswer, true
	}
}

// close ends the answer. It may be called for none.
func (a *received) close() {
	if a != nil {
		_ = a.body.Close() // what came of it is kept
	}
}
