package letters

import (
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"outrider/proxy/admin"
	"outrider/proxy/outbox"
)

// shownBody is how much of a body is shown, in bytes: what people can read, and mend.
const shownBody = 1 << 20

// A letter is one, by its id.
type letter struct {
	desk
	id string
}

func (l letter) show(w http.ResponseWriter, r *http.Request) {
	view, err := l.outbox.Letter(r.Context(), l.id)
	if err != nil {
		fail(w, err)
		return
	}
	admin.Answer(w, http.StatusOK, view)
}

// A Content is a body, as text or as base64.
type Content struct {
	Text  *string `json:"body,omitempty"`        // what is UTF-8
	Bytes []byte  `json:"body_base64,omitempty"` // what is not
	// Left says that the body is longer than what is shown of it: nothing.
	Left bool `json:"body_left_out,omitempty"`
}

// ContentOf is a body that is known whole.
func ContentOf(data []byte) Content {
	if utf8.Valid(data) {
		text := string(data)
		return Content{Text: &text}
	}
	return Content{Bytes: data}
}

// content reads a body that may be shown. One that is longer than that is left out, for half
// of it cannot be mended.
func content(body io.Reader) (Content, error) {
	data, err := io.ReadAll(io.LimitReader(body, shownBody+1))
	switch {
	case err != nil:
		return Content{}, err
	case len(data) > shownBody:
		return Content{Left: true}, nil
	}
	return ContentOf(data), nil
}

// A Request is what is sent for a letter. The address and the credential are its upstream's.
type Request struct {
	Method string      `json:"method,omitempty"`
	Target string      `json:"target,omitempty"` // path and query
	Header http.Header `json:"header,omitempty"`
	Key    *string     `json:"key,omitempty"` // the idempotency key
	Content
}

func (l letter) request(w http.ResponseWriter, r *http.Request) {
	shown, err := l.readRequest(r)
	switch {
	case errors.Is(err, outbox.ErrEnded):
		admin.Fail(w, http.StatusConflict, "letter-ended", "What was sent is kept no longer: the letter was delivered, or taken back.")
	case err != nil:
		fail(w, err)
	default:
		admin.Answer(w, http.StatusOK, shown)
	}
}

func (l letter) readRequest(r *http.Request) (Request, error) {
	sent, body, err := l.outbox.Request(r.Context(), l.id)
	if err != nil {
		return Request{}, err
	}
	defer func() { _ = body.Close() }()
	shown := Request{Method: sent.Method, Target: sent.Target, Header: sent.Header}
	shown.Content, err = content(body)
	return shown, err
}

// A Response is the last answer to a letter.
type Response struct {
	Status  int         `json:"status"`
	Header  http.Header `json:"header,omitempty"`
	Trailer http.Header `json:"trailer,omitempty"`
	Size    int64       `json:"size"`                // of what is kept of the body; -1: unknown of one that is left out
	Cut     bool        `json:"truncated,omitempty"` // its end is not kept
	Content
}

// response shows an answer as JSON, and never as what it says that it is: a page of a provider
// would be one of ours for a browser.
func (l letter) response(w http.ResponseWriter, r *http.Request) {
	answer, err := l.outbox.Response(r.Context(), l.id)
	if err != nil {
		fail(w, err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	shown := Response{Status: answer.Status, Header: shownHeader(answer.Header), Trailer: answer.Trailer, Size: answer.Size, Cut: answer.Truncated}
	body := &keptBody{from: answer.Body}
	if shown.Content, err = content(body); err != nil {
		fail(w, err)
		return
	}
	shown.Cut = shown.Cut || body.cut
	if shown.Size < 0 && !shown.Left {
		shown.Size = body.size
	}
	admin.Answer(w, http.StatusOK, shown)
}

// A keptBody is the body of an answer as far as it is kept: one that broke off ends there, with
// no error (see outbox.Answer).
type keptBody struct {
	from io.Reader
	size int64
	cut  bool
}

// Read implements io.Reader.
func (b *keptBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.size += int64(n)
	if err == io.ErrUnexpectedEOF {
		b.cut, err = true, io.EOF
	}
	return n, err
}

// shownHeader leaves out what a provider gives to one caller alone.
func shownHeader(header http.Header) http.Header {
	shown := header.Clone()
	shown.Del("Set-Cookie")
	return shown
}
