package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// post sends a message to a URL. Its errors show nothing of that.
func (n *Notifier) post(ctx context.Context, t target, id string, message []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(message))
	if err != nil {
		return false, errTarget
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "outrider")
	if t.kind == generic && n.set.Secret != nil {
		key, err := n.key()
		if err != nil {
			return false, fmt.Errorf("reading the secret for its signature: %w", err)
		}
		sign(req.Header, key, id, time.Now(), message)
	}
	resp, err := n.set.Transport.RoundTrip(req)
	if err != nil {
		return true, silence(ctx) // the error's own text may show the URL
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be kept
	_ = resp.Body.Close()
	if resp.StatusCode < 300 {
		return false, nil
	}
	again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout
	return again, fmt.Errorf("it answered %d", resp.StatusCode)
}

func (n *Notifier) key() ([]byte, error) {
	secret, err := n.set.Secret()
	if err != nil {
		return nil, err
	}
	return signingKey(secret)
}

// silence is the error of a target that did not answer.
func silence(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("timeout")
	}
	return errors.New("no answer")
}
