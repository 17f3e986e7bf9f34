package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"outrider/proxy/store"
	"outrider/proxy/webhook"
)

const (
	// callbackTimeout is how long a callback may take.
	callbackTimeout = 30 * time.Second
	// callbackElsewhere is when a callback is looked at again that this process may not send.
	callbackElsewhere = time.Minute
	// callbackAnswer is how much of the answer to a callback is kept, in bytes.
	callbackAnswer = 64 << 10
)

// A notice is the body of a callback: what Standard Webhooks has in a payload.
type notice struct {
	Type      string     `json:"type"` // letter.delivered, letter.dead
	Timestamp time.Time  `json:"timestamp"`
	Data      noticeData `json:"data"`
}

// noticeData says how a letter ended. The answer is to be had at Location.
type noticeData struct {
	ID       string `json:"id"`
	Upstream string `json:"upstream"`
	State    string `json:"state"`
	Reason   string `json:"reason,omitempty"`
	Status   int    `json:"status,omitempty"` // of the last answer
	Attempts int    `json:"attempts"`
	Location string `json:"location,omitempty"`
}

// callback is the letter that tells of the end of d's; nil: nobody wants to know.
func (d *delivery) callback(end *store.End, status int) *store.Follow {
	if d.letter == nil || d.letter.Callback == "" || d.letter.Upstream == callbackUpstream {
		return nil
	}
	target, err := url.Parse(d.letter.Callback)
	if err != nil {
		return nil // it was one when the letter was kept
	}
	attempts := d.stored.Attempts
	if end.Attempt != nil {
		attempts++
	}
	body, _ := json.Marshal(notice{ // of such members it cannot fail
		Type: "letter." + end.State, Timestamp: time.Now().UTC().Round(time.Millisecond),
		Data: noticeData{
			ID: d.stored.ID, Upstream: d.stored.Upstream, State: end.State, Reason: end.Reason,
			Status: status, Attempts: attempts, Location: d.letter.Location,
		},
	})
	id, err := newID()
	if err != nil {
		return nil // the end of a letter is worth more than telling it
	}
	letter := &Letter{
		ID: id, Upstream: callbackUpstream, Connection: target.Host,
		Method: http.MethodPost, Scheme: target.Scheme, Host: target.Host, Target: target.RequestURI(),
		Header:     http.Header{"Content-Type": {"application/json"}},
		Idempotent: true, // its id tells a second one apart
	}
	return &store.Follow{Letter: letter.filed(d.limits, KeepOptions{}), Body: body}
}

// sendCallback sends a letter that is a callback. It is signed now, with the key of now. A
// redirection is not followed, and is no delivery.
func (o *Outbox) sendCallback(ctx context.Context, s *Sending) Outcome {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	resp, err := o.postCallback(ctx, s) //nolint:bodyclose // it is in memory, and settle closes it
	out := Outcome{Started: started, Took: time.Since(started), Verdict: Later, Err: err, Wire: 1}
	switch {
	case errors.As(err, new(*CallbackError)):
		// Another process of this store may have the configuration that allows it.
		out.Verdict, out.After, out.Elsewhere, out.Wire = NotSent, callbackElsewhere, true, 0
	case errors.As(err, new(*unsentError)):
		out.Verdict, out.Wire = NotSent, 0
	case err != nil:
	case resp.StatusCode/100 == 2:
		out.Verdict = Delivered
	case resp.StatusCode == http.StatusGone: // Standard Webhooks: it wants no more
		out.Verdict, out.Reason = Dead, ReasonRefused
	default:
		out.After = webhook.RetryAfter(resp.Header, time.Now())
	}
	out.Response = resp
	return out
}

// An unsentError is why a callback did not leave.
type unsentError struct{ error }

// Unwrap gives the reason.
func (e *unsentError) Unwrap() error { return e.error }

// postCallback gives an answer whose body is in memory, so that ctx may end.
func (o *Outbox) postCallback(ctx context.Context, s *Sending) (*http.Response, error) {
	target := s.Scheme + "://" + s.Host + s.Target
	if err := o.limits.Load().allowCallback(target); err != nil {
		return nil, err // the configuration is another one than when it was kept
	}
	req, err := o.callbackRequest(ctx, s, target)
	if err != nil {
		return nil, err
	}
	if err := s.Depart(ctx); err != nil {
		return nil, &unsentError{err}
	}
	resp, err := o.settings.CallbackTransport.RoundTrip(req)
	if err != nil {
		return nil, silence(ctx)
	}
	defer func() { _ = resp.Body.Close() }() // its begin is read
	begin, err := io.ReadAll(io.LimitReader(resp.Body, callbackAnswer))
	if err != nil {
		begin = nil // the status is what counts
	}
	kept := *resp
	kept.Body = io.NopCloser(bytes.NewReader(begin))
	return &kept, nil
}

// silence is the error of a callback that was not answered. That of the transport may show
// the URL, which may be all the secret that there is.
func silence(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("timeout")
	}
	return errors.New("no answer")
}

func (o *Outbox) callbackRequest(ctx context.Context, s *Sending, target string) (*http.Request, error) {
	body, err := s.Body()
	if err != nil {
		return nil, &unsentError{err}
	}
	message, err := io.ReadAll(io.LimitReader(body, s.BodySize+1)) // a notice of ours: it is short
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("reading the notice: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, s.Method, target, bytes.NewReader(message))
	if err != nil {
		return nil, &CallbackError{"Outrider-Callback is no URL"}
	}
	req.GetBody = nil // the transport is not to send it twice
	req.Header = s.Header.Clone()
	req.Header.Set("User-Agent", "outrider")
	req.Header.Set("Webhook-Id", s.ID) // unsigned, too: it tells a second one apart
	if err := o.signCallback(req.Header, webhook.Message{ID: s.ID, Body: message}); err != nil {
		return nil, &unsentError{err}
	}
	return req, nil
}

func (o *Outbox) signCallback(header http.Header, m webhook.Message) error {
	if o.settings.SigningKey == nil {
		return nil
	}
	secret, err := o.settings.SigningKey()
	if err != nil {
		return fmt.Errorf("reading outbox.callback_key: %w", err)
	}
	if secret == "" {
		return nil
	}
	key, err := webhook.Key(secret)
	if err != nil {
		return fmt.Errorf("outbox.callback_key: %w", err)
	}
	m.Sign(header, key, time.Now())
	return nil
}
