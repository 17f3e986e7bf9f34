package cli

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// A demoClient makes one call, and reports whether the application got its
// answer: a 2xx, whole, within the deadline of ctx.
type demoClient func(ctx context.Context, call demoCall) bool

// A demoCall is a call that an application wants to make.
type demoCall struct {
	method, target string // target is path and query
	logical        string // the name under which the provider counts its effects; "" for none
	body           string
}

// client is how the side makes the calls of a scene.
func (s *demoSide) client(scene demoScene) (demoClient, error) {
	if s.base != "" && scene.host != "" {
		return bareClient(s.proxied, "https://"+scene.host), nil
	}
	if s.base != "" {
		return bareClient(s.http, s.base+scene.name), nil
	}
	token := ""
	if scene.token {
		data, err := os.ReadFile(s.keyFile)
		if err != nil {
			return nil, err
		}
		token = strings.TrimSpace(string(data))
	}
	return plainClient(s.http, s.provider.url, token), nil
}

// bareClient leaves everything to the one behind base.
func bareClient(client *http.Client, base string) demoClient {
	return func(ctx context.Context, call demoCall) bool {
		status, err := send(ctx, client, base, "", call)
		return err == nil && status/100 == 2
	}
}

// What a plainClient does when a call does not succeed.
const (
	plainRetries = 3
	plainDelay   = 200 * time.Millisecond
)

// plainClient is a client as it is written again and again: a fixed number of
// retries with a fixed delay, whatever the method and whatever the provider
// asks for, and a token that was read once.
func plainClient(client *http.Client, base, token string) demoClient {
	return func(ctx context.Context, call demoCall) bool {
		for retry := 0; ; retry++ {
			status, err := send(ctx, client, base, token, call)
			if err == nil && status != http.StatusTooManyRequests && status < 500 {
				return status/100 == 2
			}
			if retry == plainRetries || !sleep(ctx, plainDelay) {
				return false
			}
		}
	}
}

// send makes one request and reads its whole answer.
func send(ctx context.Context, client *http.Client, base, token string, call demoCall) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, call.method, base+call.target, strings.NewReader(call.body))
	if err != nil {
		return 0, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if call.logical != "" {
		req.Header.Set("X-Logical-Id", call.logical)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}
