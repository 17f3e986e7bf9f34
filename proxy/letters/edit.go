package letters

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"outrider/proxy/admin"
	"outrider/proxy/outbox"
)

// maxChange bounds the document of a change: a body as base64, and what is around it.
const maxChange = 4 * shownBody

// edit changes what a dead letter sends, and has it sent. What the document does not have stays as
// it is, but for an idempotency key, which is made anew: for the provider it is another
// request now.
func (l letter) edit(w http.ResponseWriter, r *http.Request) {
	if !takes(w, r, jsonType) {
		return
	}
	wanted, err := readRequest(http.MaxBytesReader(w, r.Body, maxChange))
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		admin.Fail(w, http.StatusRequestEntityTooLarge, "body-too-large", fmt.Sprintf("A change must not have more than %d bytes: have the call made again where it came from.", large.Limit))
		return
	}
	if err != nil {
		malformed(w, err)
		return
	}
	sent, body, err := l.outbox.Request(r.Context(), l.id)
	if err != nil {
		failEdit(w, err)
		return
	}
	_ = body.Close() // it is replaced, or stays
	change, err := wanted.change(sent, l.amend)
	if err != nil {
		admin.Fail(w, http.StatusUnprocessableEntity, "outbox-refused", err.Error())
		return
	}
	if err := l.outbox.Edit(r.Context(), l.id, change); err != nil {
		failEdit(w, err)
		return
	}
	l.show(w, r)
}

// failEdit answers with why a letter is not changed. One that waits has not ended, as the
// outbox calls it.
func failEdit(w http.ResponseWriter, err error) {
	if errors.Is(err, outbox.ErrEnded) {
		admin.Fail(w, http.StatusConflict, "letter-ended", "Only a dead letter is changed, and this one is none (any more).")
		return
	}
	fail(w, err)
}

// readRequest reads the document of a change. A member that is not known is one that somebody
// has misspelt, whose letter would be sent as it was.
func readRequest(body io.Reader) (Request, error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	var q Request
	if err := decoder.Decode(&q); err != nil {
		return Request{}, fmt.Errorf("the change cannot be read: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("the change cannot be read: there is something behind its end")
	}
	if q.Left {
		q.Text, q.Bytes = nil, nil // it is what was shown, and stays
	}
	if q.Target == "" {
		return q, nil
	}
	if _, err := url.ParseRequestURI(q.Target); err != nil || !strings.HasPrefix(q.Target, "/") {
		return Request{}, fmt.Errorf("target = %q: must be a path, and maybe a query, such as /v1/orders?notify=true", q.Target)
	}
	return q, nil
}

// errNothing is a change that changes nothing.
var errNothing = errors.New("what is to be changed? Say method, target, header, key, body or body_base64")

// change makes of a document what it changes of a letter that is sent so far.
func (q Request) change(sent *outbox.Letter, amend func(l, sent *outbox.Letter) error) (outbox.Change, error) {
	c := outbox.Change{Key: q.Key}
	switch {
	case q.Text != nil && q.Bytes != nil:
		return c, errors.New("body and body_base64: one of them is right")
	case q.Text != nil:
		c.Body = strings.NewReader(*q.Text)
	case q.Bytes != nil:
		c.Body = bytes.NewReader(q.Bytes)
	case q.Method == "" && q.Target == "" && q.Header == nil && q.Key == nil:
		return c, errNothing
	}
	to := *sent
	to.Method, to.Target = cmp.Or(q.Method, sent.Method), cmp.Or(q.Target, sent.Target)
	if q.Header != nil {
		to.Header = canonical(q.Header)
	}
	if q.Key != nil {
		to.Key = *q.Key
	}
	if err := amend(&to, sent); err != nil {
		return c, err
	}
	c.Method, c.Target, c.Header = &to.Method, &to.Target, to.Header
	return c, nil
}

// canonical has the names of a header as Go has them, whatever their letters were in JSON.
func canonical(header http.Header) http.Header {
	c := make(http.Header, len(header))
	for name, values := range header {
		for _, value := range values {
			c.Add(name, value)
		}
	}
	return c
}
