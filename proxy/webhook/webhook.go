// Package webhook has what all messages to the URLs of others have in common. They are signed
// as Standard Webhooks says
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md),
// so that who gets one knows that it is ours, and not an old one again.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Key is what a secret stands for: one that begins with whsec_ is base64 after that, with or
// without padding, and any other is taken as it is. One of nothing is none, since anybody can
// sign with it. The error does not show the secret.
func Key(secret string) ([]byte, error) {
	coded, ok := strings.CutPrefix(secret, "whsec_")
	key := []byte(secret)
	if ok {
		var err error
		if key, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(coded, "=")); err != nil {
			return nil, errors.New("must be base64 after whsec_")
		}
	}
	if len(key) == 0 {
		return nil, errors.New("must not be empty")
	}
	return key, nil
}

// A Message is what is signed: its id, which is the same each time that it is sent, and its
// body.
type Message struct {
	ID   string
	Body []byte
}

// Sign puts the signature of m, as sent at the given time, into header.
func (m Message) Sign(header http.Header, key []byte, at time.Time) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(m.ID + "." + stamp + "."))
	_, _ = mac.Write(m.Body) // a hash never fails
	header.Set("Webhook-Id", m.ID)
	header.Set("Webhook-Timestamp", stamp)
	header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// RetryAfter is for how long a receiver does not want to be asked again (RFC 9110 section
// 10.2.3); 0 if it does not say.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now)
	}
	return 0
}
