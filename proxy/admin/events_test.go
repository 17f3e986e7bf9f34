package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/proxy/admin"
)

// scripted hands on one call after each of its delays, and then none.
type scripted struct {
	delays []time.Duration
	closed atomic.Bool
}

func (s *scripted) Next(ctx context.Context) (any, uint64, error) {
	delay := time.Hour * 24
	if len(s.delays) > 0 {
		delay = s.delays[0]
	}
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case <-time.After(delay):
		s.delays = s.delays[1:]
		return []string{time.Now().UTC().Format("05.000")}, uint64(len(s.delays)), nil
	}
}

func (s *scripted) Close() { s.closed.Store(true) }

// watch reads the events of so much time, in which the state changes every two seconds.
func watch(query string, from *scripted, long time.Duration) *httptest.ResponseRecorder {
	settings := whole()
	start := time.Now()
	settings.Status = func() any { return int(time.Since(start).Seconds()) / 2 }
	settings.Follow = func(filter string) (admin.Follower, error) {
		if filter == ">5" {
			return nil, errors.New(`">5": must be > and a duration`)
		}
		return from, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/events"+query, nil)
	r.Host = "127.0.0.1:8081"
	w := httptest.NewRecorder()
	admin.New(settings).ServeHTTP(w, r)
	synctest.Wait()
	return w
}

func TestEventsTellOfChangesAndCalls(t *testing.T) {
	calls := "event: calls\ndata: {\"calls\":[\"00.500\"],\"lost\":2}\n\n" +
		"event: calls\ndata: {\"calls\":[\"00.700\"],\"lost\":1}\n\n" + // a tenth of a second is collected before it is waited again
		"event: calls\ndata: {\"calls\":[\"03.300\"]}\n\n"
	for query, want := range map[string]string{
		"": "retry: 2000\n\nevent: status\ndata: 0\n\n" + calls[:strings.LastIndex(calls, "event")] +
			"event: status\ndata: 1\n\n" + calls[strings.LastIndex(calls, "event"):] + "event: status\ndata: 2\n\n",
		"?only=calls":  "retry: 2000\n\n" + calls,
		"?only=status": "retry: 2000\n\nevent: status\ndata: 0\n\nevent: status\ndata: 1\n\nevent: status\ndata: 2\n\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			from := &scripted{delays: []time.Duration{500 * time.Millisecond, 100 * time.Millisecond, 2500 * time.Millisecond}}
			w := watch(query, from, 5500*time.Millisecond)
			if got := w.Body.String(); got != want || w.Header().Get("Content-Type") != "text/event-stream" {
				t.Errorf("%q: %s", query, got)
			}
			if !from.closed.Load() && query != "?only=status" {
				t.Errorf("%q: the follower is left behind", query)
			}
		})
	}
}

func TestQuietEventsShowThatTheyLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch("?only=calls", &scripted{}, 40*time.Second)
		if got := w.Body.String(); got != "retry: 2000\n\n:\n\n:\n\n" {
			t.Errorf("%q", got)
		}
	})
}

func TestEventsThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for query, want := range map[string]string{
			"?filter=%3E5":  `filter: ">5": must be > and a duration`,
			"?only=nothing": `only = "nothing": must be calls or status`,
		} {
			w := watch(query, &scripted{}, time.Second)
			var problem struct{ Detail string }
			_ = json.Unmarshal(w.Body.Bytes(), &problem)
			if w.Code != http.StatusBadRequest || problem.Detail != want {
				t.Errorf("%s: %d %s", query, w.Code, w.Body)
			}
		}
	})
}

// A tab on a computer that sleeps takes nothing and says nothing. It is given up ten seconds
// after what it does not take, and then nobody collects calls for it.
func TestReaderThatTakesNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, from := policytest.NewNet(), &scripted{}
		settings := whole()
		settings.Follow = func(string) (admin.Follower, error) { return from, nil }
		network.Serve(t, "admin.test:80", admin.New(settings))
		conn, err := network.Dial(t.Context(), "tcp", "admin.test:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Second - time.Nanosecond)
		synctest.Wait()
		if from.closed.Load() {
			t.Error("it is given up too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !from.closed.Load() {
			t.Error("it is held on to")
		}
	})
}

// Streams are held open, so that without a bound whoever reloads the page fast enough
// has us hold any number.
func TestEventsHaveABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := whole()
		settings.Follow = func(string) (admin.Follower, error) { return &scripted{}, nil }
		h := admin.New(settings)
		ctx, cancel := context.WithCancel(t.Context())
		ask := func() *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/events", nil)
			r.Host = "127.0.0.1:8081"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		for range 64 {
			go ask()
		}
		synctest.Wait()
		if w := ask(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("the 65th: %d %s", w.Code, w.Body)
		}
		cancel()
		synctest.Wait()
		if w := ask(); w.Code != http.StatusOK {
			t.Errorf("after they left: %d", w.Code)
		}
	})
}

// Whoever had a stream of events kept it, whatever became of the key: taking a key away from
// somebody took nothing.
func TestEventsEndWhenTheKeyChanges(t *testing.T) {
	for query, want := range map[string]string{
		"?only=calls":  "retry: 2000\n\nevent: calls\ndata: {\"calls\":[\"00.500\"],\"lost\":1}\n\n",
		"?only=status": "retry: 2000\n\nevent: status\ndata: 0\n\nevent: status\ndata: 1\n\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			from := &scripted{delays: []time.Duration{500 * time.Millisecond, 3 * time.Second}}
			settings := whole()
			settings.Status = func() any { return int(time.Since(start).Seconds()) / 2 }
			settings.Follow = func(string) (admin.Follower, error) { return from, nil }
			settings.AccessKey = func() string {
				if time.Since(start) < 2500*time.Millisecond {
					return "the first"
				}
				return "the second"
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/events"+query, nil)
			r.Header.Set("Outrider-Key", "the first")
			w := httptest.NewRecorder()
			admin.New(settings).ServeHTTP(w, r)
			if took := time.Since(start); took != 3*time.Second || w.Body.String() != want {
				t.Errorf("%s: it ended after %v, with %q; want 3s and %q", query, took, w.Body, want)
			}
		})
	}
}
