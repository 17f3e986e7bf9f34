package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"outrider/proxy/webhook"
)

// post sends a message to a URL. Its errors show nothing of that.
func (s Settings) post(ctx context.Context, t target, id string, message []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(message))
	if err != nil {
		return false, errTarget
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "outrider")
	if t.kind == generic && s.Secret != nil {
		key, err := s.key()
		if err != nil {
			return false, fmt.Errorf("reading the secret for its signature: %w", err)
		}
		webhook.Message{ID: id, Body: message}.Sign(req.Header, key, time.Now())
	}
	resp, err := s.Transport.RoundTrip(req)
	if err != nil {
		return true, silence(ctx) // the error's own text may show the URL
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be kept
	_ = resp.Body.Close()
	if resp.StatusCode < 300 {
		return false, nil
	}
	again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout
	return again, &refusal{resp.StatusCode, webhook.RetryAfter(resp.Header, time.Now())}
}

// A refusal is the answer of a target that does not take a message.
type refusal struct {
	status int
	after  time.Duration // for how long it is not to be tried again; 0: it does not say
}

// Error implements error.
func (r *refusal) Error() string { return fmt.Sprintf("it answered %d", r.status) }

func (s Settings) key() ([]byte, error) {
	secret, err := s.Secret()
	if err != nil {
		return nil, err
	}
	return webhook.Key(secret)
}

// silence is the error of a target that did not answer.
func silence(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("timeout")
	}
	return errors.New("no answer")
}
