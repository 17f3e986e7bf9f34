package handover_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/handover"
)

// A memory is a store of slots that can be lost.
type memory struct {
	mu    sync.Mutex
	slots map[string][]byte
	lost  error
	gone  []string // slots that are listed, and removed before anybody reads them
}

type slot struct {
	in *memory
	id string
}

func (s slot) Load(context.Context) ([]byte, error) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	return s.in.slots[s.id], s.in.lost
}

func (s slot) Save(_ context.Context, data []byte) error {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.slots[s.id] = data
	return s.in.lost
}

func (s slot) Remove(context.Context) error {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	delete(s.in.slots, s.id)
	return s.in.lost
}

func (s slot) Lock(context.Context) (func(), error) { return func() {}, nil }

func (m *memory) list(_ context.Context, prefix, after string, limit int) (ids []string, err error) {
	for id := range m.slots {
		if strings.HasPrefix(id, prefix) && id > after {
			ids = append(ids, id)
		}
	}
	for _, id := range m.gone {
		if strings.HasPrefix(id, prefix) && id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[:min(len(ids), limit)], m.lost
}

// handler is the API of an upstream whose calls name a connection.
func handler(t testing.TB, in *memory) handover.Handler {
	t.Helper()
	file, err := config.Parse("", []byte("[upstream.crm]\nurl = \"https://crm.test\"\nconnections = \"required\"\nauth = { type = \"bearer\" }\n"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(file, policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return http.DefaultTransport, nil },
		Keep:      func(id string) (policy.Keeper, error) { return slot{in, id}, nil },
		Kept:      in.list,
		Observe:   func(context.Context, policy.Event) {},
		Jitter:    func(time.Duration) time.Duration { return 0 },
		NewKey:    func() string { return "minted" },
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return handover.Handler{Set: func() *policy.Set { return set }}
}

func send(h http.Handler, method, path, kind, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/api/connections"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A store that fails in the middle of many is told at the one that it concerns, and
// nothing behind it is tried.
func TestStoreThatFailsEndsAHandover(t *testing.T) {
	in := &memory{slots: map[string][]byte{}}
	h := handler(t, in)
	in.lost = errors.New("the disk is full")
	const two = `[{"name":"a","token":"1"},{"name":"b","token":"2"}]`
	if w := send(h, "POST", "/crm", "application/json", two); w.Code != 200 || w.Body.String() != "{\"name\":\"a\",\"error\":\"the disk is full\"}\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/crm/a", `{"token":"1"}`}, {"GET", "/crm/a", ""}, {"GET", "/crm", ""}, {"GET", "", ""}, {"DELETE", "/crm/a", ""},
	} {
		if w := send(h, c.method, c.path, "application/json", c.body); w.Code != 503 || !strings.Contains(w.Body.String(), "urn:outrider:problem:store-unavailable") {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}

func TestListEndsWhereItEnds(t *testing.T) {
	h := handler(t, &memory{slots: map[string][]byte{}})
	if w := send(h, "GET", "", "", ""); w.Body.String() != "{\"connections\":[]}\n" {
		t.Errorf("empty: %s", w.Body)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		send(h, "PUT", "/crm/"+name, "application/json", `{"token":"1"}`)
	}
	for _, path := range []string{"/crm", ""} {
		var seen []string
		for after, pages := "", 0; ; pages++ {
			var page handover.Page
			if err := json.Unmarshal(send(h, "GET", path+"?limit=2&after="+after, "", "").Body.Bytes(), &page); err != nil || pages > 3 {
				t.Fatal(err, pages)
			}
			for _, c := range page.Connections {
				seen = append(seen, c.Name)
			}
			if after = page.Next; after == "" {
				break
			}
		}
		if got := strings.Join(seen, " "); got != "a b c d" {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// A connection may be removed between the moment in which names are listed and the one in
// which each is read. A page on which nothing was left had no last one to go on after: the
// request met a panic.
func TestListGoesOnPastWhatWasRemovedMeanwhile(t *testing.T) {
	in := &memory{slots: map[string][]byte{}}
	h := handler(t, in)
	for _, name := range []string{"b", "e"} {
		send(h, "PUT", "/crm/"+name, "application/json", `{"token":"1"}`)
	}
	in.gone = []string{"connection/crm/a", "connection/crm/c", "connection/crm/d"}
	for _, path := range []string{"/crm", ""} {
		for _, limit := range []string{"1", "2"} {
			var seen []string
			for after, pages := "", 0; ; pages++ {
				var page handover.Page
				if err := json.Unmarshal(send(h, "GET", path+"?limit="+limit+"&after="+after, "", "").Body.Bytes(), &page); err != nil || pages > 6 {
					t.Fatal(err, pages)
				}
				for _, c := range page.Connections {
					seen = append(seen, c.Name)
				}
				if after = page.Next; after == "" {
					break
				}
			}
			if got := strings.Join(seen, " "); got != "b e" {
				t.Errorf("%s by %s: %s", path, limit, got)
			}
		}
	}
}

// Whatever is handed over is stored whole, or refused as a whole and in our own words.
func FuzzMany(f *testing.F) {
	for _, seed := range []string{
		"{\"name\":\"a\",\"token\":\"1\"}\n{\"name\":\"b\",\"token\":\"2\"}\n", `[{"name":"a","token":"1"}]`, "[null]", "null", "\n\n", `[{"name":"a"},`, "\xff\n{}", `[[[`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, body string, lines bool) {
		in := &memory{slots: map[string][]byte{}}
		kind := "application/json"
		if lines {
			kind = "application/x-ndjson"
		}
		w := send(handler(t, in), "POST", "/crm", kind, body)
		switch stored := strings.Count(w.Body.String(), "\n"); {
		case w.Code == 422 && len(in.slots) == 0 && json.Valid(w.Body.Bytes()):
		case w.Code == 200 && len(in.slots) == stored && stored > 0:
		default:
			t.Errorf("%d %s, %d stored", w.Code, w.Body, len(in.slots))
		}
	})
}
