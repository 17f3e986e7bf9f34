package outbox_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/proxy/outbox"
)

// hook is the receiver of callbacks.
type hook struct {
	answers []int // one after the other; then 200
	got     []*http.Request
	bodies  []string
	at      []time.Duration
	begin   time.Time
}

// RoundTrip implements http.RoundTripper.
func (h *hook) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	h.got, h.bodies, h.at = append(h.got, r), append(h.bodies, string(body)), append(h.at, time.Since(h.begin))
	status := 200
	if len(h.got) <= len(h.answers) {
		status = h.answers[len(h.got)-1]
	}
	if status == 0 {
		return nil, fmt.Errorf("dialing %s: refused", r.URL)
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://other.example/"}}, Body: io.NopCloser(strings.NewReader("thanks"))}, nil
}

// withHook is a rig whose callbacks go to h.
func withHook(h *hook) func(*outbox.Settings, *outbox.Limits) {
	return func(s *outbox.Settings, l *outbox.Limits) {
		h.begin = time.Now()
		s.CallbackTransport = h
		s.SigningKey = func() (string, error) { return "whsec_" + base64.StdEncoding.EncodeToString([]byte("raw")), nil }
		l.AllowsCallback = func(url string) bool { return strings.HasPrefix(url, "https://app.example/hooks/") }
		l.Attempts = 2
	}
}

func calling(l *outbox.Letter) {
	l.Callback, l.Location = "https://app.example/hooks/secret?x=1", "http://127.0.0.1:8080/outbox/letters/a"
}

func TestEndIsCalledBackSigned(t *testing.T) {
	h := &hook{}
	inBubble(t, withHook(h), func(r *rig) {
		r.keep("a", calling)
		r.after(time.Second)
		if len(h.got) != 1 {
			t.Fatalf("%d callbacks", len(h.got))
		}
		req, body := h.got[0], h.bodies[0]
		if req.URL.String() != "https://app.example/hooks/secret?x=1" || req.Method != "POST" || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v", req.Method, req.URL, req.Header)
		}
		id, stamp := req.Header.Get("Webhook-Id"), req.Header.Get("Webhook-Timestamp")
		mac := hmac.New(sha256.New, []byte("raw"))
		mac.Write([]byte(id + "." + stamp + "." + body))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); req.Header.Get("Webhook-Signature") != want {
			t.Errorf("signature %s, want %s", req.Header.Get("Webhook-Signature"), want)
		}
		var got struct {
			Type      string
			Timestamp time.Time
			Data      map[string]any
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		want := "map[attempts:1 id:a location:http://127.0.0.1:8080/outbox/letters/a state:delivered status:200 upstream:crm]"
		if got.Type != "letter.delivered" || !got.Timestamp.Equal(r.begin) || fmt.Sprint(got.Data) != want {
			t.Errorf("%s %v %v", got.Type, got.Timestamp, got.Data)
		}
		view := r.wantState(id, "delivered")
		if text := fmt.Sprintf("%+v", *view); view.Upstream != "outbox" || view.Host != "app.example" || strings.Contains(text, "secret") {
			t.Error(text)
		}
	})
}

// A redirection is not followed; a callback has as many attempts as fit into its age.
func TestCallbackIsTriedUntilItIsTaken(t *testing.T) {
	h := &hook{answers: []int{302, 0, 500}}
	inBubble(t, withHook(h), func(r *rig) {
		r.answer = func(*outbox.Sending, int) outbox.Outcome { return answer(outbox.Dead, 422, "") }
		r.keep("a", calling)
		r.after(time.Minute)
		if got := fmt.Sprint(h.at); got != "[0s 2.5s 7.5s 17.5s]" {
			t.Errorf("called at %s", got)
		}
		for _, req := range h.got {
			if req.Header.Get("Webhook-Id") != h.got[0].Header.Get("Webhook-Id") || req.URL.Host != "app.example" {
				t.Errorf("callback %v to %s", req.Header, req.URL)
			}
		}
		if !strings.Contains(h.bodies[0], `"type":"letter.dead"`) || !strings.Contains(h.bodies[0], `"reason":"refused"`) {
			t.Errorf("body %s", h.bodies[0])
		}
		view := r.wantState(h.got[0].Header.Get("Webhook-Id"), "delivered")
		if view.History[1].Error != "no answer" {
			t.Errorf("the error shows more than it may: %q", view.History[1].Error)
		}
	})
}

func TestReceiverThatIsGoneIsNotCalledAgain(t *testing.T) {
	h := &hook{answers: []int{410}}
	inBubble(t, withHook(h), func(r *rig) {
		r.keep("a", calling)
		r.after(time.Hour)
		if len(h.got) != 1 {
			t.Errorf("%d callbacks", len(h.got))
		}
		r.wantState(h.got[0].Header.Get("Webhook-Id"), "dead refused")
	})
}

func TestCallbackElsewhereIsNotAccepted(t *testing.T) {
	inBubble(t, withHook(&hook{}), func(r *rig) {
		_, err := r.tryKeep("a", func(l *outbox.Letter) { l.Callback = "https://evil.example/" })
		if !errors.As(err, new(*outbox.CallbackError)) {
			t.Errorf("error %v", err)
		}
		l := limits()
		r.outbox.Configure(l)
		if _, err := r.tryKeep("b", calling); !errors.As(err, new(*outbox.CallbackError)) {
			t.Errorf("none is allowed: %v", err)
		}
	})
}

// The configuration allows a callback no more that it allowed when its letter was kept: it is
// not sent. But it waits, for it may be allowed to another process that shares the store, as
// while a new configuration comes to one after the other; it was dead at once.
func TestCallbackThatIsNotAllowedIsLeftToOthers(t *testing.T) {
	h := &hook{answers: []int{500}}
	inBubble(t, withHook(h), func(r *rig) {
		r.keep("a", calling)
		r.after(time.Second)
		r.outbox.Configure(limits())
		r.after(time.Hour)
		if len(h.got) != 1 {
			t.Errorf("%d callbacks", len(h.got))
		}
		id := h.got[0].Header.Get("Webhook-Id")
		r.wantState(id, "waiting")

		l := limits()
		l.AllowsCallback = func(string) bool { return true }
		second := outbox.Settings{Store: r.store.Open, CallbackTransport: h, Jitter: func(time.Duration) time.Duration { return 0 }}
		other := outbox.New(second, l)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); other.Run(ctx) }()
		r.after(5 * time.Second) // each process looks once a second
		r.wantState(id, "delivered")
		stop()
		<-ended
	})
}

func TestCallbackThatNobodyMaySendIsDeadOfItsAge(t *testing.T) {
	h := &hook{answers: []int{500}}
	inBubble(t, withHook(h), func(r *rig) {
		r.keep("a", calling)
		r.after(time.Second)
		r.outbox.Configure(limits())
		r.after(25 * time.Hour)
		r.wantState(h.got[0].Header.Get("Webhook-Id"), "dead age")
	})
}
