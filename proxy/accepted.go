package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"outrider/policy"
	"outrider/proxy/outbox"
)

// acceptedBody is the document of a 202.
type acceptedBody struct {
	ID             string   `json:"id"`
	State          string   `json:"state"`
	Location       string   `json:"location"`
	Upstream       string   `json:"upstream"`
	Duplicate      bool     `json:"duplicate,omitempty"` // it was kept before
	IdempotencyKey string   `json:"idempotency_key,omitempty"`
	RetryAfter     *float64 `json:"retry_after,omitempty"` // seconds until it may have ended
	TraceID        string   `json:"trace_id,omitempty"`
}

// accepted answers a call that is kept: with what the upstream says, where the caller
// waits for that and it comes in time, and else with 202 (RFC 9110 section 15.3.3).
func (s *Server) accepted(x *exchange, k *keeping, letter *outbox.Letter, receipt outbox.Receipt) {
	x.finish()
	x.outcome.Class, x.outcome.Letter = policy.ClassKept, receipt.ID
	state := outbox.StateWaiting
	if k.wait > 0 || receipt.Duplicate {
		state = s.await(x, receipt.ID, k.wait)
	}
	over := state != outbox.StateWaiting && state != outbox.StateSending
	x.w.Header()["Outrider-Letter"] = []string{receipt.ID}
	if over && k.wait > 0 {
		if answer, err := s.Outbox.Response(x.ctx, receipt.ID); err == nil {
			x.relayKept(answer)
			return
		}
	}
	doc := acceptedBody{
		ID: receipt.ID, State: state, Location: letter.Location, Upstream: letter.Upstream,
		Duplicate: receipt.Duplicate, IdempotencyKey: receipt.Key, TraceID: x.span.TraceID(),
	}
	if receipt.Duplicate {
		doc.Location = letter.Location[:len(letter.Location)-len(letter.ID)] + receipt.ID
	}
	header := x.w.Header()
	header["Location"] = []string{doc.Location}
	if k.asked {
		header["Preference-Applied"] = []string{"respond-async"}
	}
	if receipt.RetryAfter > 0 && !over {
		header["Retry-After"] = []string{wholeSeconds(receipt.RetryAfter)}
		after := receipt.RetryAfter.Seconds()
		doc.RetryAfter = &after
	}
	if receipt.Key != "" && letter.KeyHeader != "" {
		header[http.CanonicalHeaderKey(letter.KeyHeader)] = []string{receipt.Key}
	}
	x.document(http.StatusAccepted, doc)
}

// await waits until a letter has ended, and tells its state. Whoever waits when we are
// asked to end is told what it is by then.
func (s *Server) await(x *exchange, id string, patience time.Duration) string {
	if patience > 0 {
		ctx, cancel := context.WithTimeout(x.ctx, patience)
		defer cancel()
		defer context.AfterFunc(s.leaving, cancel)()
		if view, err := s.Outbox.Wait(ctx, id); err == nil {
			return view.State
		}
	}
	view, err := s.Outbox.Letter(x.ctx, id)
	switch {
	case errors.Is(err, outbox.ErrUnknown):
		return outbox.StateDelivered // only of those the dedup key outlives the letter
	case err != nil:
		return outbox.StateWaiting // it was kept a moment ago
	}
	return view.State
}

// relayKept passes the kept answer of an upstream on.
func (x *exchange) relayKept(answer *outbox.Answer) {
	resp := &http.Response{
		StatusCode: answer.Status, Header: answer.Header, Trailer: answer.Trailer,
		Body: answer.Body, ContentLength: answer.Size,
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	if answer.Truncated {
		resp.ContentLength = -1 // so that the client sees that the end is missing
	}
	// To a HEAD, and of a 304, it is the length of what a GET would bring.
	if x.r.Method != http.MethodHead && answer.Status != http.StatusNotModified {
		delete(resp.Header, "Content-Length")
		if resp.ContentLength >= 0 {
			resp.Header["Content-Length"] = []string{strconv.FormatInt(resp.ContentLength, 10)}
		}
	}
	x.wrote, x.outcome.Status = true, answer.Status
	var err error
	if x.outcome.ResponseBytes, err = x.respond(resp); err != nil {
		x.broken(err)
	}
}

// document answers with JSON of our own.
func (x *exchange) document(status int, doc any) {
	data, _ := json.Marshal(doc)
	data = append(data, '\n')
	header := x.w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Cache-Control"] = []string{"no-store"}
	header["Content-Length"] = []string{strconv.Itoa(len(data))}
	ownResponseHeaders(header, &x.call, x.span.TraceID())
	delete(header, "X-Should-Retry") // what failed is no longer the caller's to retry
	if x.last || x.body.open() {
		endWith(header, x.r)
	}
	x.wrote, x.outcome.Status, x.outcome.Own = true, status, true
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return
	}
	n, err := x.w.Write(data)
	x.outcome.ResponseBytes = int64(n)
	if err != nil {
		x.broken(&clientError{err})
	}
}
